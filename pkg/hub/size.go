package hub

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

const (
	// maxPlacement is what a Placement may take on the hub, in bytes of JSON.
	maxPlacement = 64 << 10
	// frameRoom is kept free for metadata with its managed fields, reportRoom for conditions, the worst
	// clusters and the summary, timersRoom at least for timers; the spec has the rest.
	frameRoom  = 4 << 10
	reportRoom = 6 << 10
	timersRoom = 2 << 10
	specRoom   = maxPlacement - frameRoom - reportRoom - timersRoom
)

// conditionShortened is there while a Placement does not say everything.
const conditionShortened = "Shortened"

// fitted returns a Placement that is small enough for the hub, and in words what it does not say; empty: it
// says everything. Shares go from the end of their list, and with them the inputs: such a decision is
// made again after a restart, from the shares that are listed and those that the members hold. Of the
// timers, those of application failover go first, then moves, then debts.
func fitted(p v1alpha1.Placement) (v1alpha1.Placement, string) {
	var cut []string
	spec := p.Spec
	spec.Clusters, spec.Evicting = nil, nil
	room := specRoom - size(spec)
	spec.Evicting, room = fitting(p.Spec.Evicting, room)
	spec.Clusters, room = fitting(p.Spec.Clusters, room)
	if n := len(p.Spec.Clusters) - len(spec.Clusters); n > 0 {
		cut = append(cut, fmt.Sprintf("the shares of %d of %d clusters", n, len(p.Spec.Clusters)))
	}
	if n := len(p.Spec.Evicting) - len(spec.Evicting); n > 0 {
		cut = append(cut, fmt.Sprintf("%d of %d clusters that it is being moved away from", n, len(p.Spec.Evicting)))
	}
	if len(cut) > 0 {
		spec.Inputs = ""
	}
	room += timersRoom
	// What the status holds beside these lists is small.
	timers := timersOf(p.Status)
	timers.Preserved, timers.Debts, timers.Moves, timers.UnhealthySince, timers.Evictions, timers.LeftOn = nil, nil, nil, nil, nil, nil
	room -= size(timers)
	timers.Preserved, room = fitting(p.Status.Preserved, room)
	timers.Debts, room = fitting(p.Status.Debts, room)
	timers.Moves, room = fitting(p.Status.Moves, room)
	timers.UnhealthySince, room = fitting(p.Status.UnhealthySince, room)
	timers.LeftOn, room = fitting(p.Status.LeftOn, room)
	timers.Evictions, _ = fitting(p.Status.Evictions, room)
	for _, left := range []struct {
		n    int
		what string
	}{
		{len(p.Status.Preserved) - len(timers.Preserved), "preserved values of old copies"},
		{len(p.Status.Debts) - len(timers.Debts), "removals that unreachable clusters owe"},
		{len(p.Status.Moves) - len(timers.Moves), "moves under way"},
		{len(p.Status.UnhealthySince) - len(timers.UnhealthySince), "timers of application failover"},
		{len(p.Status.LeftOn) - len(timers.LeftOn), "old copies that its policy leaves behind"},
		{len(p.Status.Evictions) - len(timers.Evictions), "former evictions"},
	} {
		if left.n > 0 {
			cut = append(cut, fmt.Sprintf("%d %s", left.n, left.what))
		}
	}
	p.Spec, p.Status = spec, timers
	return p, strings.Join(cut, ", ")
}

// fitting returns the first elements of a list, as many as there is room for, and the room that is left.
func fitting[T any](list []T, room int) ([]T, int) {
	for i := range list {
		n := size(list[i]) + 1 // The comma.
		if n > room {
			return slices.Clone(list[:i]), 0
		}
		room -= n
	}
	return list, room
}

// size is the length of a value in JSON; our types always encode.
func size(v any) int {
	data, err := json.Marshal(v)
	if err != nil {
		return 0
	}
	return len(data)
}

// withShortened says on a status what the Placement does not say, and since when.
func withShortened(s v1alpha1.PlacementStatus, cut string, since metav1.Time) v1alpha1.PlacementStatus {
	s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), func(c metav1.Condition) bool { return c.Type == conditionShortened })
	if cut == "" {
		return s
	}
	s.Conditions = append(s.Conditions, metav1.Condition{
		Type: conditionShortened, Status: metav1.ConditionTrue, Reason: "TooLarge", LastTransitionTime: since, ObservedGeneration: s.ObservedGeneration,
		Message: shortened(fmt.Sprintf("a Placement takes %d KiB at most and does not list %s; the controller knows them and reads them from the clusters after a restart; armada-sync explain shows all", maxPlacement>>10, cut), maxMessage),
	})
	return s
}

// shortenedSince is the time of that condition; zero: there is none.
func shortenedSince(s v1alpha1.PlacementStatus) metav1.Time {
	if c := meta.FindStatusCondition(s.Conditions, conditionShortened); c != nil {
		return c.LastTransitionTime
	}
	return metav1.Time{}
}
