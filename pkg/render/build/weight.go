package build

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// About what a value, and a map or list beside what is in it, takes in memory, in bytes.
const (
	valueWeight = 32
	mapWeight   = 300
)

// unitRoom is how much memory the objects of one file may take where a file may have so many bytes.
func unitRoom(limits *v1alpha1.SourceLimits) int64 { return 1<<20 + 6**limits.MaxFileBytes }

// treeRoom is how much memory the objects of a source may take.
func treeRoom(limits *v1alpha1.SourceLimits) int64 { return 1<<20 + *limits.MaxTotalBytes }

// weigh returns about how much memory a value takes.
func weigh(value any) int64 {
	switch v := value.(type) {
	case map[string]any:
		total := int64(mapWeight)
		for key, child := range v {
			total += int64(len(key)) + weigh(child)
		}
		return total
	case []any:
		total := int64(valueWeight)
		for _, child := range v {
			total += weigh(child)
		}
		return total
	case string:
		return valueWeight + int64(len(v))
	}
	return valueWeight
}
