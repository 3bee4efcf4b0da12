package forge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// tokenVariables are where a token is looked for, in this order.
func tokenVariables(k Kind) []string {
	switch k {
	case GitLab:
		return []string{"GITLAB_TOKEN", jobTokenVariable}
	case Gitea:
		return []string{"GITEA_TOKEN"}
	case GitHub:
	}
	return []string{"GITHUB_TOKEN"}
}

const jobTokenVariable = "CI_JOB_TOKEN"

// FromEnvironment is the target that a pipeline says of itself. What the given one says already stays as it
// is. The event of GitHub's and Gitea's workflows is read by the function from GITHUB_EVENT_PATH; a
// workflow that runs after another one takes its pull request from there, never from what that one left.
func FromEnvironment(t Target, getenv func(string) string, readFile func(string) ([]byte, error)) (Target, error) {
	for _, name := range tokenVariables(t.Kind) {
		if t.Token == "" && getenv(name) != "" {
			t.Token, t.JobToken = getenv(name), name == jobTokenVariable
		}
	}
	if t.Kind == GitLab {
		t.API = cmp.Or(t.API, getenv("CI_API_V4_URL"), "https://gitlab.com/api/v4")
		t.Project = cmp.Or(t.Project, getenv("CI_MERGE_REQUEST_PROJECT_ID"), getenv("CI_PROJECT_ID"))
		t.Change = cmp.Or(t.Change, getenv("CI_MERGE_REQUEST_IID"))
		// In a pipeline for merged results the commit is one that only the pipeline knows.
		t.Commit = cmp.Or(t.Commit, getenv("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), getenv("CI_COMMIT_SHA"))
		t.Page = cmp.Or(t.Page, getenv("CI_JOB_URL"))
		return t, nil
	}
	if t.Kind == Gitea {
		t.API = cmp.Or(t.API, getenv("GITEA_API_URL"))
	}
	t.API = cmp.Or(t.API, getenv("GITHUB_API_URL"))
	if t.Kind == GitHub {
		t.API = cmp.Or(t.API, "https://api.github.com")
	}
	t.Project = cmp.Or(t.Project, getenv("GITHUB_REPOSITORY"))
	if run := getenv("GITHUB_RUN_ID"); run != "" && getenv("GITHUB_SERVER_URL") != "" {
		t.Page = cmp.Or(t.Page, getenv("GITHUB_SERVER_URL")+"/"+getenv("GITHUB_REPOSITORY")+"/actions/runs/"+run)
	}
	if file := getenv("GITHUB_EVENT_PATH"); file != "" && (t.Change == "" || t.Commit == "") {
		data, err := readFile(file)
		if err != nil {
			return t, fmt.Errorf("read the event of the workflow: %w", err)
		}
		if err := t.takeEvent(data); err != nil {
			return t, err
		}
	}
	if change, isPull := strings.CutPrefix(getenv("GITHUB_REF"), "refs/pull/"); isPull {
		number, _, _ := strings.Cut(change, "/")
		t.Change = cmp.Or(t.Change, number)
	}
	return t, nil
}

// takeEvent reads the pull request of an event: pull_request, workflow_run, or a comment on it.
func (t *Target) takeEvent(data []byte) error {
	type pull struct {
		Number int `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	}
	var event struct {
		Pull *pull `json:"pull_request"`
		Run  *struct {
			SHA        string `json:"head_sha"`
			Branch     string `json:"head_branch"`
			Repository struct {
				Owner struct {
					Login string `json:"login"`
				} `json:"owner"`
			} `json:"head_repository"`
			Pulls []pull `json:"pull_requests"`
		} `json:"workflow_run"`
		Issue *struct {
			Number int `json:"number"`
		} `json:"issue"`
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return fmt.Errorf("read the event of the workflow: %w", err)
	}
	number, commit := 0, ""
	switch {
	case event.Pull != nil:
		number, commit = event.Pull.Number, event.Pull.Head.SHA
	case event.Run != nil:
		commit = event.Run.SHA
		if len(event.Run.Pulls) == 1 {
			number = event.Run.Pulls[0].Number
		} else if owner := event.Run.Repository.Owner.Login; owner != "" && event.Run.Branch != "" {
			// Of a fork GitHub names none here.
			t.Head = cmp.Or(t.Head, owner+":"+event.Run.Branch)
		}
	case event.Issue != nil:
		number = event.Issue.Number
	}
	if number > 0 {
		t.Change = cmp.Or(t.Change, strconv.Itoa(number))
	}
	t.Commit = cmp.Or(t.Commit, commit)
	return nil
}
