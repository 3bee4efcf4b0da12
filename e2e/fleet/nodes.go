package fleet

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// awaitControllers makes the nodes and waits until what the controllers do to
// a fresh cluster is done: the account that pods need, nodes that take pods.
func (c *Cluster) awaitControllers(ctx context.Context) error {
	client, err := c.harness()
	if err != nil {
		return err
	}
	for i := range c.nodes {
		node := c.node(fmt.Sprintf("%s-node-%d", c.Name, i+1))
		if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create a node: %w", err)
		}
	}
	if slices.Contains(c.opts.Controllers, "serviceaccount-controller") {
		err := c.await(ctx, controllerPart, func(ctx context.Context) error {
			_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
			return err
		})
		if err != nil {
			return err
		}
	}
	if c.nodes == 0 {
		return nil
	}
	return c.await(ctx, kwokPart, func(ctx context.Context) error { return nodesReady(ctx, client) })
}

// nodesReady returns an error as long as a node cannot take pods.
func nodesReady(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		ready := slices.ContainsFunc(node.Status.Conditions, func(condition corev1.NodeCondition) bool {
			return condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue
		})
		if !ready || len(node.Spec.Taints) > 0 {
			return fmt.Errorf("node %q is not ready", node.Name)
		}
	}
	return nil
}

// node describes a fake node with the labels that a kubelet would set.
func (c *Cluster) node(name string) *corev1.Node {
	capacity := c.opts.NodeCapacity.DeepCopy()
	if _, ok := capacity[corev1.ResourcePods]; !ok {
		capacity[corev1.ResourcePods] = resource.MustParse("110")
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: "amd64",
			},
			Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
		},
		Status: corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
	}
}
