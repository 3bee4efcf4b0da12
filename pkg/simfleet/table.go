package simfleet

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/ptr"
)

// printer makes the rows of kubectl get for one kind.
type printer struct {
	columns []metav1.TableColumnDefinition
	// cells are those between the name and the age.
	cells func(runtime.Object) []any
}

// tableFor returns what prints a kind. The API server's printers cannot be
// imported; kinds without one here show name and creation time, as the API
// server does where it has none.
func tableFor(k *kind) rest.TableConvertor {
	cells := cellsOf(k.gvk.Kind)
	if cells == nil {
		return rest.NewDefaultTableConvertor(k.resource())
	}
	titles := titlesOf(k.gvk.Kind)
	p := &printer{cells: cells, columns: []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name", Description: metav1.ObjectMeta{}.SwaggerDoc()["name"]}}}
	for _, t := range titles {
		p.columns = append(p.columns, metav1.TableColumnDefinition{Name: t, Type: "string"})
	}
	p.columns = append(p.columns, metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"]})
	return p
}

// ConvertToTable implements rest.TableConvertor.
func (p *printer) ConvertToTable(ctx context.Context, obj runtime.Object, opts runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	now := clusterFrom(ctx).now()
	row := func(o runtime.Object) error {
		m, err := meta.Accessor(o)
		if err != nil {
			return err
		}
		cells := append([]any{m.GetName()}, p.cells(o)...)
		table.Rows = append(table.Rows, metav1.TableRow{Cells: append(cells, age(m, now)), Object: runtime.RawExtension{Object: o}})
		return nil
	}
	if meta.IsListType(obj) {
		if err := meta.EachListItem(obj, row); err != nil {
			return nil, fmt.Errorf("print list: %w", err)
		}
	} else if err := row(obj); err != nil {
		return nil, fmt.Errorf("print object: %w", err)
	}
	if m, err := meta.ListAccessor(obj); err == nil {
		table.ResourceVersion, table.Continue, table.RemainingItemCount = m.GetResourceVersion(), m.GetContinue(), m.GetRemainingItemCount()
	} else if m, err := meta.CommonAccessor(obj); err == nil {
		table.ResourceVersion = m.GetResourceVersion()
	}
	if o, ok := opts.(*metav1.TableOptions); !ok || !o.NoHeaders {
		table.ColumnDefinitions = p.columns
	}
	return table, nil
}

func age(m metav1.Object, now time.Time) string {
	created := m.GetCreationTimestamp()
	if created.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(created.Time))
}

func titlesOf(kind string) []string {
	switch kind {
	case "Deployment":
		return []string{"Ready", "Up-to-date", "Available"}
	case "StatefulSet":
		return []string{"Ready"}
	case "DaemonSet":
		return []string{"Desired", "Current", "Ready", "Up-to-date", "Available"}
	case "ReplicaSet":
		return []string{"Desired", "Current", "Ready"}
	case "Job":
		return []string{"Status", "Completions"}
	case "CronJob":
		return []string{"Schedule", "Suspend"}
	case "Pod":
		return []string{"Ready", "Status", "Restarts"}
	case "Service":
		return []string{"Type", "Cluster-IP", "External-IP", "Port(s)"}
	case "ConfigMap":
		return []string{"Data"}
	case "Secret":
		return []string{"Type", "Data"}
	case "Namespace":
		return []string{"Status"}
	case "Node":
		return []string{"Status", "Version"}
	case "Ingress":
		return []string{"Class", "Hosts"}
	case "PersistentVolumeClaim":
		return []string{"Status", "Volume", "Capacity"}
	default:
		return nil
	}
}

// cellsOf returns, for kinds that titlesOf knows, what makes the cells.
func cellsOf(kind string) func(runtime.Object) []any {
	if kind == "ServiceAccount" {
		return func(runtime.Object) []any { return nil }
	}
	if titlesOf(kind) == nil {
		return nil
	}
	return func(obj runtime.Object) []any {
		switch o := obj.(type) {
		case *appsv1.Deployment:
			return []any{ofTotal(o.Status.ReadyReplicas, ptr.Deref(o.Spec.Replicas, 1)), o.Status.UpdatedReplicas, o.Status.AvailableReplicas}
		case *appsv1.StatefulSet:
			return []any{ofTotal(o.Status.ReadyReplicas, ptr.Deref(o.Spec.Replicas, 1))}
		case *appsv1.DaemonSet:
			s := o.Status
			return []any{s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable}
		case *appsv1.ReplicaSet:
			return []any{ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, o.Status.ReadyReplicas}
		case *batchv1.Job:
			return []any{jobWord(o), ofTotal(o.Status.Succeeded, ptr.Deref(o.Spec.Completions, 1))}
		case *batchv1.CronJob:
			return []any{o.Spec.Schedule, ptr.Deref(o.Spec.Suspend, false)}
		case *corev1.Service:
			return serviceCells(o)
		case *networkingv1.Ingress:
			return ingressCells(o)
		default:
			return coreCells(obj)
		}
	}
}

func coreCells(obj runtime.Object) []any {
	switch o := obj.(type) {
	case *corev1.Pod:
		ready := 0
		for _, c := range o.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready = len(o.Spec.Containers)
			}
		}
		return []any{fmt.Sprintf("%d/%d", ready, len(o.Spec.Containers)), string(o.Status.Phase), 0}
	case *corev1.ConfigMap:
		return []any{len(o.Data) + len(o.BinaryData)}
	case *corev1.Secret:
		return []any{string(o.Type), len(o.Data)}
	case *corev1.Namespace:
		return []any{string(o.Status.Phase)}
	case *corev1.Node:
		word := "NotReady"
		for _, c := range o.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				word = "Ready"
			}
		}
		return []any{word, o.Status.NodeInfo.KubeletVersion}
	case *corev1.PersistentVolumeClaim:
		capacity := o.Status.Capacity[corev1.ResourceStorage]
		return []any{string(o.Status.Phase), o.Spec.VolumeName, capacity.String()}
	default:
		return nil
	}
}

func ofTotal(n, total int32) string { return fmt.Sprintf("%d/%d", n, total) }

func jobWord(o *batchv1.Job) string {
	for _, c := range o.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return string(c.Type)
		}
	}
	return "Running"
}

func serviceCells(o *corev1.Service) []any {
	external := "<none>"
	if o.Spec.Type == corev1.ServiceTypeLoadBalancer {
		external = "<pending>"
	}
	for _, in := range o.Status.LoadBalancer.Ingress {
		external = in.IP
	}
	var ports []string
	for _, p := range o.Spec.Ports {
		word := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			word = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
		ports = append(ports, word)
	}
	if len(ports) == 0 {
		ports = []string{"<none>"}
	}
	return []any{string(o.Spec.Type), o.Spec.ClusterIP, external, strings.Join(ports, ",")}
}

func ingressCells(o *networkingv1.Ingress) []any {
	var hosts []string
	for _, r := range o.Spec.Rules {
		hosts = append(hosts, r.Host)
	}
	if len(hosts) == 0 {
		hosts = []string{"*"}
	}
	return []any{ptr.Deref(o.Spec.IngressClassName, "<none>"), strings.Join(hosts, ",")}
}
