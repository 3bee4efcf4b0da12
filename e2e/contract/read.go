package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func readStatements() []statement {
	return []statement{
		{name: "lists come in the order of their names", check: readOrder},
		{name: "label selectors", check: readLabels},
		{name: "field selectors", check: readFields},
		{name: "an unknown field selector is refused", check: readBadField},
		{name: "pages are one consistent list", check: readPages},
		{name: "an empty list has items", check: readEmpty},
		{name: "metadata only", check: readMetadata},
		{name: "a list at an exact resource version", check: readExact},
		{name: "a list from the future is refused", check: readFuture},
		{name: "an absent object is not found", check: readAbsent},
		{name: "an absent kind is not found", check: readAbsentKind},
		{name: "tables for kubectl", check: readTable},
	}
}

// fill makes ConfigMaps c0 … c(n-1); those with an even number have label half=yes.
func (e *env) fill(t *testing.T, n int) {
	t.Helper()
	for i := n - 1; i >= 0; i-- {
		labels := `{set: s}`
		if i%2 == 0 {
			labels = `{set: s, half: "yes"}`
		}
		e.apply(t, configMaps, manager, fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: c%d, labels: %s}}`, i, labels))
	}
}

func (e *env) names(t *testing.T, opts metav1.ListOptions) []string {
	t.Helper()
	list, err := e.in(configMaps).List(e.ctx, opts)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	var out []string
	for _, o := range list.Items {
		out = append(out, o.GetName())
	}
	return out
}

func readOrder(t *testing.T, e *env) {
	e.fill(t, 4)
	if got := fmt.Sprint(e.names(t, metav1.ListOptions{LabelSelector: "set=s"})); got != "[c0 c1 c2 c3]" {
		t.Errorf("got %s", got)
	}
}

func readLabels(t *testing.T, e *env) {
	e.fill(t, 4)
	for selector, names := range map[string]string{
		"half": "[c0 c2]", "set=s,!half": "[c1 c3]", "half in (yes, no)": "[c0 c2]", "set=s,half!=yes": "[c1 c3]", "half=no": "[]",
	} {
		if got := fmt.Sprint(e.names(t, metav1.ListOptions{LabelSelector: selector})); got != names {
			t.Errorf("%s: got %s, want %s", selector, got, names)
		}
	}
}

func readFields(t *testing.T, e *env) {
	e.fill(t, 3)
	if got := fmt.Sprint(e.names(t, metav1.ListOptions{FieldSelector: "metadata.name=c1"})); got != "[c1]" {
		t.Errorf("got %s", got)
	}
	e.apply(t, secrets, manager, `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: example.com/x}`)
	e.apply(t, secrets, manager, `{apiVersion: v1, kind: Secret, metadata: {name: b}}`)
	list, err := e.in(secrets).List(e.ctx, metav1.ListOptions{FieldSelector: "type=example.com/x"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].GetName() != "a" {
		t.Errorf("got %d secrets", len(list.Items))
	}
}

func readBadField(t *testing.T, e *env) {
	_, err := e.in(configMaps).List(e.ctx, metav1.ListOptions{FieldSelector: "data.a=1"})
	wantCode(t, err, http.StatusBadRequest)
}

func readPages(t *testing.T, e *env) {
	e.fill(t, 5)
	first, err := e.in(configMaps).List(e.ctx, metav1.ListOptions{LabelSelector: "set", Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Items) != 2 || first.GetContinue() == "" {
		t.Fatalf("got %d items, continue %q", len(first.Items), first.GetContinue())
	}
	// What happens meanwhile does not show.
	if err := e.in(configMaps).Delete(e.ctx, "c3", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.apply(t, configMaps, manager, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c9, labels: {set: s}}}`)
	var names []string
	next := first.GetContinue()
	for next != "" {
		page, err := e.in(configMaps).List(e.ctx, metav1.ListOptions{LabelSelector: "set", Limit: 2, Continue: next})
		if err != nil {
			t.Fatal(err)
		}
		if page.GetResourceVersion() != first.GetResourceVersion() {
			t.Errorf("the pages are of %s and %s", first.GetResourceVersion(), page.GetResourceVersion())
		}
		for _, o := range page.Items {
			names = append(names, o.GetName())
		}
		next = page.GetContinue()
	}
	if got := fmt.Sprint(names); got != "[c2 c3 c4]" {
		t.Errorf("the later pages have %s", got)
	}
}

func readEmpty(t *testing.T, e *env) {
	body, err := e.raw(t).Get().AbsPath("/api/v1/namespaces", e.ns, "secrets").Param("labelSelector", "no=such").Do(e.ctx).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Kind  string            `json:"kind"`
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "SecretList" || list.Items == nil || len(list.Items) != 0 {
		t.Errorf("got %s", body)
	}
}

func readMetadata(t *testing.T, e *env) {
	full := e.apply(t, configMaps, manager, config)
	m, err := e.metadata.Resource(configMaps).Namespace(e.ns).Get(e.ctx, "c", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m.UID != full.GetUID() || m.ResourceVersion != full.GetResourceVersion() || m.Labels["l"] != "1" {
		t.Errorf("metadata differs: %v", m.ObjectMeta)
	}
	mustOwn(t, applied(t, m, manager), field("data", "a"))
	list, err := e.metadata.Resource(configMaps).Namespace(e.ns).List(e.ctx, metav1.ListOptions{LabelSelector: "l=1"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.ResourceVersion == "" {
		t.Errorf("got %d items at %q", len(list.Items), list.ResourceVersion)
	}
}

func readExact(t *testing.T, e *env) {
	e.fill(t, 2)
	before, err := e.in(configMaps).List(e.ctx, metav1.ListOptions{LabelSelector: "set"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.in(configMaps).Delete(e.ctx, "c0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	got := e.names(t, metav1.ListOptions{LabelSelector: "set", ResourceVersion: before.GetResourceVersion(), ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	if fmt.Sprint(got) != "[c0 c1]" {
		t.Errorf("got %v", got)
	}
	if got := e.names(t, metav1.ListOptions{LabelSelector: "set"}); fmt.Sprint(got) != "[c1]" {
		t.Errorf("now: %v", got)
	}
}

func readFuture(t *testing.T, e *env) {
	err := e.raw(t).Get().AbsPath("/api/v1/namespaces", e.ns, "configmaps").Param("resourceVersion", "999999999").
		Param("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan)).MaxRetries(0).Do(e.ctx).Error()
	st := wantCode(t, err, http.StatusGatewayTimeout)
	wantCause(t, st, metav1.CauseTypeResourceVersionTooLarge, "")
}

func readAbsent(t *testing.T, e *env) {
	_, err := e.in(configMaps).Get(e.ctx, "absent", metav1.GetOptions{})
	st := wantCode(t, err, http.StatusNotFound)
	if st.Reason != metav1.StatusReasonNotFound || st.Details == nil || st.Details.Kind != "configmaps" || st.Details.Name != "absent" {
		t.Errorf("got %+v", st)
	}
}

func readAbsentKind(t *testing.T, e *env) {
	_, err := e.in(schemaGVR{Group: "contract.armada-sync.io", Version: "v1", Resource: "nothings"}).List(e.ctx, metav1.ListOptions{})
	wantCode(t, err, http.StatusNotFound)
}

func readTable(t *testing.T, e *env) {
	e.apply(t, deployments, manager, web)
	body, err := e.raw(t).Get().AbsPath("/apis/apps/v1/namespaces", e.ns, "deployments").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").Do(e.ctx).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	if table.Kind != "Table" || len(table.Rows) != 1 || len(table.ColumnDefinitions) < 5 {
		t.Fatalf("got %s", body)
	}
	for i, name := range []string{"Name", "Ready", "Up-to-date", "Available", "Age"} {
		if table.ColumnDefinitions[i].Name != name {
			t.Errorf("column %d is %q, want %q", i, table.ColumnDefinitions[i].Name, name)
		}
	}
	if table.Rows[0].Cells[0] != "web" {
		t.Errorf("cells = %v", table.Rows[0].Cells)
	}
}
