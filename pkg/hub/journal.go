package hub

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
)

const (
	// journalPrefix begins the names of the journal's Secrets; a number follows.
	journalPrefix = "armada-sync-decisions-"
	// journalLabel is what they are listed by.
	journalLabel = "armada-sync.io/decisions"
	// journalKey is the key of the content, which is JSON compressed by gzip.
	journalKey = "decisions.json.gz"
	// journalVersion is the format of the content.
	journalVersion = 1
	// A page holds so many decisions or shares at most: a hundred or two kilobytes, and half a megabyte
	// where every share is another number.
	pageDecisions = 500
	pageShares    = 50_000
	// maxPageContent bounds what a page unpacks to, in bytes.
	maxPageContent = 64 << 20
)

// journal keeps decisions that came too many at once for a write each: page by page, each page a Secret
// of the controller's namespace, in which the account may write Secrets anyway. What a page holds counts
// before what the Placements say, until the page is empty.
type journal struct {
	client    *client
	namespace string
	// made are the pages whose Secret is there, as far as is known: for a page one request is sent, not two.
	made map[int]bool
}

// pageContent is what a page holds.
type pageContent struct {
	FormatVersion int `json:"formatVersion"`
	// Clusters are the names that shares refer to by their place.
	Clusters  []string   `json:"clusters"`
	Decisions []decision `json:"decisions"`
}

// decision is a Placement in short.
type decision struct {
	Namespace string                 `json:"ns"`
	Name      string                 `json:"n"`
	Spec      v1alpha1.PlacementSpec `json:"spec"`
	// To are places in Clusters, Replicas the shares there; absent where no share has replicas, none where
	// that one has not.
	To       []int                    `json:"to,omitempty"`
	Replicas []int64                  `json:"r,omitempty"`
	Status   v1alpha1.PlacementStatus `json:"status"`
}

// none stands for a share without replicas.
const none = -1

// packPage encodes decisions.
func packPage(placements []v1alpha1.Placement) ([]byte, error) {
	page := pageContent{FormatVersion: journalVersion}
	places := map[string]int{}
	for i := range placements {
		p := &placements[i]
		d := decision{Namespace: p.Namespace, Name: p.Name, Spec: p.Spec, Status: timersOf(p.Status)}
		d.Spec.Clusters, d.Spec.RebalanceAt = nil, nil
		for _, c := range p.Spec.Clusters {
			place, known := places[c.Name]
			if !known {
				place = len(page.Clusters)
				places[c.Name] = place
				page.Clusters = append(page.Clusters, c.Name)
			}
			d.To = append(d.To, place)
			share := int64(none)
			if c.Replicas != nil {
				share = *c.Replicas
			}
			d.Replicas = append(d.Replicas, share)
		}
		if !slices.ContainsFunc(d.Replicas, func(n int64) bool { return n != none }) {
			d.Replicas = nil
		}
		page.Decisions = append(page.Decisions, d)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := json.NewEncoder(z).Encode(page); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// unpackPage decodes them.
func unpackPage(packed []byte) ([]v1alpha1.Placement, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var page pageContent
	if err := json.NewDecoder(io.LimitReader(z, maxPageContent)).Decode(&page); err != nil {
		return nil, err
	}
	if page.FormatVersion != journalVersion {
		return nil, fmt.Errorf("format %d is not known, want %d", page.FormatVersion, journalVersion)
	}
	placements := make([]v1alpha1.Placement, 0, len(page.Decisions))
	for i := range page.Decisions {
		d := &page.Decisions[i]
		p := v1alpha1.Placement{Spec: d.Spec, Status: d.Status}
		p.APIVersion, p.Kind, p.Namespace, p.Name = v1alpha1.APIVersion, v1alpha1.KindPlacement, d.Namespace, d.Name
		if len(d.Replicas) > 0 && len(d.Replicas) != len(d.To) {
			return nil, fmt.Errorf("%d shares for %d clusters", len(d.Replicas), len(d.To))
		}
		for j, place := range d.To {
			if place < 0 || place >= len(page.Clusters) {
				return nil, fmt.Errorf("no cluster %d", place)
			}
			c := v1alpha1.TargetCluster{Name: page.Clusters[place]}
			if len(d.Replicas) > 0 && d.Replicas[j] != none {
				share := d.Replicas[j]
				c.Replicas = &share
			}
			p.Spec.Clusters = append(p.Spec.Clusters, c)
		}
		placements = append(placements, p)
	}
	return placements, nil
}

// noJournal is the namespace of a journal that is not there.
const noJournal = ""

// read returns the decisions of every page that holds any, by the page's number.
func (j *journal) read(ctx context.Context) (map[int][]v1alpha1.Placement, error) {
	if j.namespace == noJournal {
		return nil, nil
	}
	list, err := j.client.core.Secrets(j.namespace).List(ctx, metav1.ListOptions{LabelSelector: journalLabel})
	if err != nil {
		return nil, fmt.Errorf("list the decisions that are not in Placements yet: %w", err)
	}
	j.made = map[int]bool{}
	pages := map[int][]v1alpha1.Placement{}
	for i := range list.Items {
		s := &list.Items[i]
		number, err := strconv.Atoi(strings.TrimPrefix(s.Name, journalPrefix))
		if err != nil {
			continue
		}
		j.made[number] = true
		if len(s.Data[journalKey]) == 0 {
			continue
		}
		if pages[number], err = unpackPage(s.Data[journalKey]); err != nil {
			return nil, fmt.Errorf("the Secret %q is damaged (%w): delete it to have its decisions rebuilt from what the members hold", j.namespace+"/"+s.Name, err)
		}
	}
	return pages, nil
}

// write replaces what a page holds; nothing empties it. The Secret stays: to delete Secrets the
// controller has no right.
func (j *journal) write(ctx context.Context, page int, placements []v1alpha1.Placement) error {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: j.namespace, Name: journalPrefix + strconv.Itoa(page),
		Labels: map[string]string{journalLabel: "true", "app.kubernetes.io/part-of": "armada-sync"},
	}}
	if len(placements) > 0 {
		packed, err := packPage(placements)
		if err != nil {
			return err
		}
		s.Data = map[string][]byte{journalKey: packed}
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var err error
	if j.made[page] {
		_, err = j.client.core.Secrets(j.namespace).Update(ctx, s, metav1.UpdateOptions{FieldManager: fieldManager})
	} else {
		_, err = j.client.core.Secrets(j.namespace).Create(ctx, s, metav1.CreateOptions{FieldManager: fieldManager})
	}
	// The next attempt is of the other sort where somebody deleted or made the Secret.
	j.made[page] = err == nil || apierrors.IsAlreadyExists(err) || j.made[page] && !apierrors.IsNotFound(err)
	if err != nil {
		return fmt.Errorf("keep decisions in the Secret %q: %w", j.namespace+"/"+s.Name, err)
	}
	return nil
}

// isJournal tells the journal's Secrets from those that people refer to.
func isJournal(o any) bool {
	m, ok := o.(metav1.Object)
	return ok && strings.HasPrefix(m.GetName(), journalPrefix)
}

// ledger knows which page holds which decisions; the store's lock guards it.
type ledger struct {
	// page has the page of each Placement that one holds.
	page map[types.NamespacedName]int
	// open are those decisions that the Placements do not say yet.
	open map[types.NamespacedName]v1alpha1.Placement
}

func newLedger() ledger {
	return ledger{page: map[types.NamespacedName]int{}, open: map[types.NamespacedName]v1alpha1.Placement{}}
}

// arrange says what the pages are to hold so that these decisions are among it: a Placement stays on its
// page, others get pages that are empty.
func (l *ledger) arrange(fresh []v1alpha1.Placement) map[int][]v1alpha1.Placement {
	pages := map[int][]v1alpha1.Placement{}
	anew := map[types.NamespacedName]bool{}
	var homeless []v1alpha1.Placement
	for _, p := range fresh {
		name := placementRef(&p).NamespacedName
		anew[name] = true
		if page, has := l.page[name]; has {
			pages[page] = append(pages[page], p)
			continue
		}
		homeless = append(homeless, p)
	}
	taken := map[int]bool{}
	for name, page := range l.page {
		taken[page] = true
		if p, open := l.open[name]; open && pages[page] != nil && !anew[name] {
			pages[page] = append(pages[page], p)
		}
	}
	number, shares := -1, pageShares
	for _, p := range homeless {
		if shares += len(p.Spec.Clusters); shares > pageShares || len(pages[number]) >= pageDecisions {
			shares = len(p.Spec.Clusters)
			for number++; taken[number]; number++ {
			}
		}
		pages[number] = append(pages[number], p)
	}
	for _, list := range pages {
		slices.SortFunc(list, func(a, b v1alpha1.Placement) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
	}
	return pages
}

// holds notes that a page now holds these decisions and no others.
func (l *ledger) holds(number int, placements []v1alpha1.Placement) {
	for name, page := range l.page {
		if page == number {
			delete(l.page, name)
		}
	}
	for _, p := range placements {
		name := placementRef(&p).NamespacedName
		l.page[name], l.open[name] = number, p
	}
}

// finished are the pages of which nothing is open any more.
func (l *ledger) finished() []int {
	open := map[int]bool{}
	for name, page := range l.page {
		_, is := l.open[name]
		open[page] = open[page] || is
	}
	var done []int
	for page, is := range open {
		if !is {
			done = append(done, page)
		}
	}
	slices.Sort(done)
	return done
}
