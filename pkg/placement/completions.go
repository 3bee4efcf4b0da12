package placement

// Completions divides a Job's completions over its shares by Webster, so that they sum exactly and
// no cluster that runs pods has none to complete. The result is in the order of the shares, which is
// that of the clusters' names.
func Completions(completions int64, shares []int64) []int64 {
	parties := make([]seat, len(shares))
	left := max(completions, 0)
	for i, share := range shares {
		parties[i] = seat{weight: max(share, 0), most: unlimited}
		if share > 0 && left > 0 {
			parties[i].least = 1
			left--
		}
	}
	webster(max(completions, 0), parties)
	divided := make([]int64, len(shares))
	for i := range parties {
		divided[i] = parties[i].got
	}
	return divided
}
