package placement

// choose selects clusters under the spread constraints; without any, all that are eligible.
func (a *attempt) choose() *failure {
	a.chosen = a.eligible
	return nil
}
