package placement

// Completions divides the completions of a Job over its clusters by their shares of its parallelism,
// by Webster's method. The parts sum exactly; a cluster with a share gets at least one where there are
// enough. Shares are in the order of the clusters' names, which breaks ties; so are the parts.
func Completions(completions int64, shares []int64) []int64 {
	parties := make([]seat, len(shares))
	used := int64(0)
	for _, share := range shares {
		if share > 0 {
			used++
		}
	}
	for i, share := range shares {
		parties[i] = seat{weight: share, most: completions}
		if share > 0 && completions >= used {
			parties[i].least = 1
		}
	}
	webster(completions, parties)
	parts := make([]int64, len(shares))
	for i := range parties {
		parts[i] = parties[i].got
	}
	return parts
}
