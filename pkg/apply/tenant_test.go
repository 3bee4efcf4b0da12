package apply_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/armada-sync/armada-sync/pkg/api/v1alpha1"
	"github.com/armada-sync/armada-sync/pkg/apply"
	"github.com/armada-sync/armada-sync/pkg/plan"
	"github.com/armada-sync/armada-sync/pkg/simfleet"
)

const (
	deployer     = "shop/deployer"
	deployerUser = "system:serviceaccount:shop:deployer"
)

// given makes objects as an administrator does.
func given(s *stage, objects ...*unstructured.Unstructured) {
	s.Helper()
	for _, o := range objects {
		s.create(o, "administrator")
	}
}

// as makes every operation of a plan one of a tenant that acts as an account.
func as(identity string, p plan.ClusterPlan) plan.ClusterPlan {
	for i := range p.Operations {
		p.Operations[i].Identity, p.Operations[i].Bounded = identity, true
	}
	return p
}

// deployerRights lets the deployer write ConfigMaps of shop.
func deployerRights(user string, r simfleet.Request) bool {
	return user == deployerUser && r.Resource == "configmaps" && r.Namespace == "shop"
}

func TestASourceActsAsItsAccount(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		given(s, object("v1", "Namespace", "", "shop"), object("v1", "Namespace", "", "bank"), object("v1", "ServiceAccount", "shop", "deployer"))
		c.SetRights(deployerRights)
		own, other := configMap("shop", "own", "k", "1"), configMap("bank", "other", "k", "1")
		c.ResetTrace()
		r := s.try(as(deployer, s.plan(own, other)))
		if r.Objects[0].Outcome != apply.OutcomeApplied {
			t.Errorf("what the account may write: %+v", r.Objects[0])
		}
		if o := r.Objects[1]; o.Class != apply.ClassDenied || !strings.Contains(o.Message, `as service account "shop/deployer"`) {
			t.Errorf("what it may not write: %+v", o)
		}
		s.execute(as(deployer, s.plan(configMap("shop", "own", "k", "2"))))
		s.execute(as(deployer, s.plan()))
		for _, request := range c.Requests() {
			want := deployerUser
			if !request.Write() || request.Namespace == apply.SystemNamespace || request.Path == "/api/v1/namespaces" || strings.HasPrefix(request.Path, "/api/v1/namespaces?") {
				// We read as ourselves, and keep our own records.
				want = ""
			}
			if request.As != want {
				t.Errorf("%s %s was sent as %q, want %q", request.Verb, request.Path, request.As, want)
			}
		}
	})
}

func TestAnAccountThatIsNotThereStopsItsSource(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		given(s, object("v1", "Namespace", "", "shop"))
		// Roles that are bound to the name of an account outlive it.
		c.SetRights(deployerRights)
		mine := configMap("shop", "own", "k", "1")
		r := s.try(as(deployer, s.plan(mine)))
		if o := r.Objects[0]; o.Class != apply.ClassDenied || !strings.Contains(o.Message, "kubectl -n shop create serviceaccount deployer") {
			t.Errorf("without the account: %+v", o)
		}
		given(s, object("v1", "ServiceAccount", "shop", "deployer"))
		s.execute(as(deployer, s.plan(mine)))
		if err := s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}).Namespace("shop").Delete(s.ctx, "deployer", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		r = s.try(as(deployer, s.plan()))
		if o := r.Objects[0]; o.Action != v1alpha1.ActionPrune || o.Class != apply.ClassDenied {
			t.Errorf("a removal without the account: %+v", o)
		}
	})
}

func TestATenantGetsNoNamespaceThatItsAccountMayNotCreate(t *testing.T) {
	onSim(t, nil, func(s *stage, c *simfleet.Cluster) {
		given(s, object("v1", "Namespace", "", "shop"), object("v1", "ServiceAccount", "shop", "deployer"))
		c.SetRights(func(_ string, r simfleet.Request) bool { return r.Resource == "configmaps" })
		r := s.try(as(deployer, s.plan(configMap("elsewhere", "a", "k", "1"))))
		if o := r.Objects[0]; o.Class != apply.ClassDenied || !strings.Contains(o.Message, `create namespace "elsewhere"`) {
			t.Errorf("the answer is %+v", o)
		}
		c.SetRights(func(_ string, r simfleet.Request) bool {
			return r.Resource == "configmaps" || r.Resource == "namespaces"
		})
		s.execute(as(deployer, s.plan(configMap("elsewhere", "a", "k", "1"))))
	})
}

func TestAClusterScopedKindIsNotReachedByANamespace(t *testing.T) {
	onSim(t, nil, func(s *stage, _ *simfleet.Cluster) {
		given(s, object("v1", "Namespace", "", "shop"))
		pretender := object("v1", "PersistentVolume", "shop", "disk")
		pretender.Object["spec"] = map[string]any{"capacity": map[string]any{"storage": "1Gi"}, "accessModes": []any{"ReadWriteOnce"}, "hostPath": map[string]any{"path": "/"}}
		// An account is not needed for this: the bounds hold by themselves.
		r := s.try(as("", s.plan(pretender)))
		if o := r.Objects[0]; o.Class != apply.ClassDenied || !strings.Contains(o.Message, "cluster-scoped") {
			t.Errorf("the answer is %+v", o)
		}
		if _, err := s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}).Get(s.ctx, "disk", metav1.GetOptions{}); err == nil {
			t.Error("it was created")
		}
	})
}
