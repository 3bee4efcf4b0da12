package plan

type renderer struct{}
