#!/usr/bin/env bash
# Computes the preview of a pull request, and posts it where COMMENT is true. Everything comes by the
# environment, from action.yml.
set -euo pipefail

if [ -z "$BASE" ]; then
  echo "::error::there is no base: give the input base, or run on pull_request" >&2
  exit 1
fi
# A branch is that of the remote; a commit is itself.
if git rev-parse --verify --quiet "refs/remotes/origin/$BASE" >/dev/null; then
  BASE="refs/remotes/origin/$BASE"
fi
mkdir -p "$OUTPUT"
args=(
  --base "$BASE" --head HEAD --fleet "$FLEET"
  -o text -o "html=$OUTPUT/preview.html" -o "json=$OUTPUT/report.json" -o "sarif=$OUTPUT/preview.sarif"
)
if [ -n "$FOLDER" ]; then
  args+=(--path "$FOLDER")
fi
if [ -n "$FAIL_ON" ]; then
  args+=(--fail-on "$FAIL_ON")
fi
if [ "$COMMENT" = true ]; then
  args+=(--comment github --link "HTML=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID#artifacts")
else
  unset GITHUB_TOKEN
fi
printf 'report=%s/report.json\n' "$OUTPUT" >>"$GITHUB_OUTPUT"
exec "$ARMADA_SYNC" preview "${args[@]}"
