package v1alpha1

import "go.yaml.in/yaml/v3"

// DecodePlanRules reads a file with rules of a preview: a list of them, or a Config whose spec.plan has them.
// A list comes as the Config that has it, so that fields are named alike in both. The other documents of a
// file come as they are.
func DecodePlanRules(file string, data []byte) ([]Document, []Problem) {
	limits := DefaultLimits()
	var documents []Document
	s := &stream{limits: limits, file: file, aliasBudget: limits.MaxAliasBytes, frame: frameRules, take: func(d Document) bool {
		documents = append(documents, d)
		return true
	}}
	problems := s.decode(data)
	return documents, problems
}

// frameRules puts a list where a Config has its rules.
func frameRules(root *yaml.Node) *yaml.Node {
	if root.Kind != yaml.SequenceNode {
		return root
	}
	text := func(s string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: root.Line, Column: root.Column}
	}
	dict := func(pairs ...*yaml.Node) *yaml.Node {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: pairs, Line: root.Line, Column: root.Column}
	}
	return dict(
		text("apiVersion"), text(APIVersion), text("kind"), text(KindConfig),
		text("spec"), dict(text("plan"), dict(text("rules"), root)),
	)
}
