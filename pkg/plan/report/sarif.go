package report

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/plan/page"
)

// The parts of SARIF 2.1.0 that findings need:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool              sarifTool                `json:"tool"`
		AutomationDetails sarifID                  `json:"automationDetails"`
		Provenance        []sarifProvenance        `json:"versionControlProvenance,omitempty"`
		BaseIDs           map[string]sarifMessages `json:"originalUriBaseIds"`
		ColumnKind        string                   `json:"columnKind"`
		Results           []sarifResult            `json:"results"`
	}
	sarifID struct {
		ID string `json:"id"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifProvenance struct {
		RepositoryURI string `json:"repositoryUri"`
		RevisionID    string `json:"revisionId,omitempty"`
	}
	sarifMessages struct {
		Description sarifText `json:"description"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string         `json:"id"`
		Name                 string         `json:"name"`
		ShortDescription     sarifText      `json:"shortDescription"`
		FullDescription      sarifText      `json:"fullDescription"`
		Help                 sarifText      `json:"help"`
		HelpURI              string         `json:"helpUri,omitempty"`
		DefaultConfiguration sarifLevel     `json:"defaultConfiguration"`
		Properties           sarifRuleProps `json:"properties"`
	}
	sarifRuleProps struct {
		Tags     []string `json:"tags"`
		Severity string   `json:"problem.severity"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             sarifText         `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		BaselineState       string            `json:"baselineState"`
		Properties          sarifResultProps  `json:"properties"`
	}
	sarifResultProps struct {
		Severity   v1alpha1.Severity         `json:"severity"`
		Clusters   []string                  `json:"clusters"`
		Object     *v1alpha1.ObjectReference `json:"object,omitempty"`
		Repository string                    `json:"repository,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
)

// sarifRoot stands for the root of the repository, to which all locations are relative.
const sarifRoot = "%SRCROOT%"

// SARIF writes the findings of a report for code scanners: what the change brings as new, and what is true
// anyway as unchanged. A finding without a line of its own stands at the policy of its workload.
func SARIF(r plan.Report, o Options) ([][]byte, error) {
	s := &sarif{report: &r, o: o, policies: map[v1alpha1.ObjectReference]plan.ReportPlacement{}, index: map[string]int{}}
	for _, p := range r.Placements {
		s.policies[p.Workload] = p
	}
	s.run = sarifRun{
		Tool: sarifTool{sarifDriver{Name: "armada-sync", InformationURI: "https://github.com/armada-sync/armada-sync"}},
		// Code scanners replace what they know of the same category.
		AutomationDetails: sarifID{"armada-sync/" + cmp.Or(o.Command, "preview") + "/"},
		BaseIDs:           map[string]sarifMessages{sarifRoot: {sarifText{"The root of the repository."}}},
		ColumnKind:        "unicodeCodePoints",
		Results:           []sarifResult{},
	}
	s.provenance()
	s.rules(slices.Concat(r.Findings, r.Standing))
	for _, f := range r.Findings {
		s.result(f, "new")
	}
	for _, f := range r.Standing {
		s.result(f, "unchanged")
	}
	raw, err := marshal(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{s.run}})
	return [][]byte{raw}, err
}

type sarif struct {
	report   *plan.Report
	o        Options
	run      sarifRun
	policies map[v1alpha1.ObjectReference]plan.ReportPlacement
	// index is the place of each rule by its id.
	index map[string]int
}

// provenance names the repositories whose address is known.
func (s *sarif) provenance() {
	for _, source := range sortedKeys(s.o.Repositories) {
		if address := s.o.Repositories[source].URL; address != "" && !strings.Contains(address, "%7B") && !strings.Contains(address, "{") {
			s.run.Provenance = append(s.run.Provenance, sarifProvenance{address, headCommit(s.report, source)})
		}
	}
}

// rules describes every id that a finding has, in their order.
func (s *sarif) rules(findings []v1alpha1.Finding) {
	used := map[string]v1alpha1.Severity{}
	for _, f := range findings {
		if f.Severity.Rank() >= used[f.ID].Rank() {
			used[f.ID] = f.Severity
		}
	}
	kinds := map[string]plan.FindingKind{}
	for _, k := range plan.FindingKinds() {
		kinds[k.ID] = k
	}
	for _, id := range sortedKeys(used) {
		k, known := kinds[id]
		if !known {
			k = plan.FindingKind{ID: id, Severity: used[id], Sentence: "A rule of this project's configuration."}
		}
		rule := sarifRule{
			ID: page.Scrub(id), Name: pascal(page.Scrub(id)), ShortDescription: sarifText{k.Sentence}, FullDescription: sarifText{k.Sentence},
			Help: sarifText{k.Sentence}, HelpURI: findingPage(id), DefaultConfiguration: sarifLevel{level(k.Severity)},
			Properties: sarifRuleProps{Tags: []string{"kubernetes", cmp.Or(s.o.Command, "preview")}, Severity: problem(k.Severity)},
		}
		if rule.HelpURI != "" {
			rule.Help.Text += " What to do: " + rule.HelpURI
		}
		s.index[id] = len(s.run.Tool.Driver.Rules)
		s.run.Tool.Driver.Rules = append(s.run.Tool.Driver.Rules, rule)
	}
	if s.run.Tool.Driver.Rules == nil {
		s.run.Tool.Driver.Rules = []sarifRule{}
	}
}

// pascal writes prune-data as PruneData, as rules are named.
func pascal(id string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(id, func(r rune) bool { return r == '-' || r == '/' || r == ' ' }) {
		first, rest := []rune(word)[:1], []rune(word)[1:]
		b.WriteString(strings.ToUpper(string(first)) + string(rest))
	}
	return b.String()
}

func level(s v1alpha1.Severity) string {
	switch s {
	case v1alpha1.SeverityBlocker:
		return "error"
	case v1alpha1.SeverityCaution:
		return "warning"
	case v1alpha1.SeverityInfo:
	}
	return "note"
}

// problem is GitHub's word for a level.
func problem(s v1alpha1.Severity) string {
	if l := level(s); l != "note" {
		return l
	}
	return "recommendation"
}

func (s *sarif) result(f v1alpha1.Finding, baseline string) {
	message := page.Scrub(f.Message)
	if len(f.Clusters) > 0 {
		message += " (" + firstClusters(f.Clusters, ", ") + ")"
	}
	key := f.ID + "/" + f.Message
	file, line := splitPosition(s.position(f))
	r := sarifResult{
		RuleID: page.Scrub(f.ID), RuleIndex: s.index[f.ID], Level: level(f.Severity), Message: sarifText{message}, Locations: []sarifLocation{},
		// Lines shift; what a finding says of which file does not.
		PartialFingerprints: map[string]string{"armadaSyncFinding/v1": hashOf([]byte(key + "\x00" + file))},
		BaselineState:       baseline,
		Properties:          sarifResultProps{Severity: f.Severity, Clusters: f.Clusters, Object: f.Object, Repository: f.Repository},
	}
	if r.Properties.Clusters == nil {
		r.Properties.Clusters = []string{}
	}
	var at sarifLocation
	if file != "" {
		at.Physical = &sarifPhysical{
			Artifact: sarifArtifact{relativeURI(s.o.repositoryPath(f.Repository, file)), sarifRoot},
			Region:   sarifRegion{max(line, 1)},
		}
	}
	if f.Object != nil {
		at.Logical = []sarifLogical{{FullyQualifiedName: page.Scrub(f.Object.Kind + "/" + plainTitle(*f.Object)), Kind: "resource"}}
	}
	if at.Physical != nil || at.Logical != nil {
		r.Locations = append(r.Locations, at)
	}
	s.run.Results = append(s.run.Results, r)
}

// position is where a finding comes from: its own line, else the policy of the workload that it is about.
func (s *sarif) position(f v1alpha1.Finding) string {
	if f.Source != "" || f.Object == nil {
		return f.Source
	}
	return s.policies[*f.Object].Policy.Source
}

// relativeURI writes a path as a URI that is relative to a base.
func relativeURI(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(segment), ":", "%3A")
	}
	return strings.Join(segments, "/")
}
