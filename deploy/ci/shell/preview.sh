#!/bin/sh
# Previews what stands in a work tree against a branch, for a pipeline of any kind: Gitea, Forgejo, Woodpecker,
# Jenkins, Bitbucket, Azure DevOps.
#
#   preview.sh FLEET BASE [FLAG...]
#
# writes preview.html, report.json and comment.md (comment.2.md and so on where it does not fit), and ends with
# 3 on a blocker. To post to Gitea, whose token is in GITEA_TOKEN:
#
#   GITEA_API_URL=https://git.example.com/api/v1 preview.sh fleet.yaml origin/main \
#     --comment gitea --project acme/fleet --pr 482 --check-commit "$(git rev-parse HEAD)"
#
# For hosts without HTML in comments add --style plain, and --max-bytes 150000 for Azure DevOps.
set -eu
if [ $# -lt 2 ]; then
  echo "usage: preview.sh FLEET BASE [FLAG...]" >&2
  exit 1
fi
fleet=$1
base=$2
shift 2
exec "${ARMADA_SYNC:-armada-sync}" preview --base "$base" --head HEAD --fleet "$fleet" \
  -o text -o html=preview.html -o json=report.json -o markdown=comment.md --fail-on blocker "$@"
