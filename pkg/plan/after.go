package plan

import "github.com/armada-sync/armada-sync/pkg/api/v1alpha1"

// After returns what a cluster must not get yet where some changes are not made now, although they are due: what is
// of a later wave of the same source, and what depends on them, directly or through others. What is put back as it
// was keeps nothing back and waits for nothing.
func (p *Plan) After(cluster string, postponed func(*ObjectChange) bool) map[v1alpha1.ObjectKey]bool {
	p = p.part(cluster)
	i, known := 0, false
	if p.at != nil {
		i, known = p.at.clusterN[cluster]
	}
	if !known {
		return nil
	}
	first, stays := map[string]int{}, map[v1alpha1.ObjectKey]bool{}
	writes := p.writes(cluster)
	for _, ch := range writes {
		if !postponed(ch) {
			continue
		}
		stays[ch.Key()] = true
		if wave, found := first[ch.Source]; !found || ch.wave() < wave {
			first[ch.Source] = ch.wave()
		}
	}
	after := map[v1alpha1.ObjectKey]bool{}
	for more := len(stays) > 0; more; {
		more = false
		for _, ch := range writes {
			if stays[ch.Key()] || !p.at.follows(ch, i, first, stays) {
				continue
			}
			stays[ch.Key()], after[ch.Key()], more = true, true, true
			if wave, found := first[ch.Source]; !found || ch.wave() < wave {
				first[ch.Source] = ch.wave()
			}
		}
	}
	return after
}

// follows tells whether a change comes after others: in its source's waves, or by what it depends on.
func (c *computation) follows(ch *ObjectChange, cluster int, first map[string]int, others map[v1alpha1.ObjectKey]bool) bool {
	if wave, found := first[ch.Source]; found && ch.wave() > wave {
		return true
	}
	for _, ref := range c.dependencies(ch.pair.item, cluster) {
		if others[ref.Key()] {
			return true
		}
	}
	return false
}

// writes are the changes of a cluster that write something which Git declares and that no other plan must open,
// but for what is put back as it was.
func (p *Plan) writes(cluster string) []*ObjectChange {
	var writes []*ObjectChange
	changes := p.Changes(cluster)
	for i := range changes {
		ch := &changes[i]
		if (ch.Action == v1alpha1.ActionCreate || ch.Action == v1alpha1.ActionConfigure) && !ch.Gate.NeedsReplan() && ch.pair != nil && ch.pair.item != nil && !ch.pair.more().drifted {
			writes = append(writes, ch)
		}
	}
	return writes
}

// wave is the one that Git gives an object, 0 for one that Git does not declare.
func (ch *ObjectChange) wave() int {
	if ch.pair == nil || ch.pair.item == nil {
		return 0
	}
	return ch.pair.item.traits.wave
}
