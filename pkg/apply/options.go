package apply

import (
	"errors"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"github.com/armada-sync/armada-sync/pkg/apply/health"
)

// Options say which cluster a Member stands for and how it may be treated. Name, RESTConfig and HubID
// are required.
type Options struct {
	// Name of the cluster, as plans spell it.
	Name string
	// RESTConfig says how to reach it. Client-side rate limits in it are ignored: the limit is what
	// the API server can take.
	RESTConfig *rest.Config
	// HubID tells our ApplySets from those of another hub on the same cluster.
	HubID string
	// SourceNamespace completes the names of sources that have none, as "namespace/name". Default
	// "armada-system".
	SourceNamespace string
	// SecretKey is the hub's key for the digests of Secrets. Without it every Secret is sent again
	// with every plan that mentions it.
	SecretKey []byte
	// Concurrency is how many writes may be in flight at once. The limit in force follows latency
	// and 429 below it. Default 32.
	Concurrency int
	// RequestTimeout of one request. Default 30s.
	RequestTimeout time.Duration
	// WaitTimeout is how long an operation waits for a gate that opens while a plan is carried out.
	// Default 60s.
	WaitTimeout time.Duration
	// StopGrace is how long requests in flight may take after the context of Execute is done.
	// Default 10s.
	StopGrace time.Duration
	// FullCompareInterval between two full comparisons of one object. Default 24h; negative: never.
	FullCompareInterval time.Duration
	// MaxBackoff bounds the time between two attempts to reach a cluster that does not answer.
	// Default 30s. A probe that succeeds ends the wait.
	MaxBackoff time.Duration
	// Capacity watches nodes, pods and the names of classes, so that Facts and Classes can tell what the
	// cluster can hold and what objects may refer to.
	Capacity bool
	// CapacityInterval is the least time between two accounts of what others use, where that differs by a
	// hundredth of what can be allocated; smaller changes wait ten times as long, changes of nodes do
	// not. Default 30s.
	CapacityInterval time.Duration
	// Health judges objects by kind; kinds without a rule are watched by metadata alone and are healthy
	// as long as they exist. Nil: the rules that come with the program.
	Health *health.Rules
	// OnChange is called, never twice at once, when what the cluster holds changed otherwise than by
	// our own writes, when an object's health changed, and when Known or Reachable of the inventory
	// did. Calls are coalesced. It must return soon.
	OnChange func(cluster string)
	// OnRequest is called after each write and each read of a single object, for metrics.
	OnRequest func(Request)
}

// Request tells how one request went.
type Request struct {
	Cluster string
	// Verb is apply, create, delete, patch, get, list or probe.
	Verb string
	// Code is the HTTP status, 0 where no answer came.
	Code    int
	Elapsed time.Duration
}

// Defaults of Options.
const (
	defaultConcurrency    = 32
	defaultRequestTimeout = 30 * time.Second
	defaultWaitTimeout    = 60 * time.Second
	defaultStopGrace      = 10 * time.Second
	defaultFullCompare    = 24 * time.Hour
	defaultMaxBackoff     = 30 * time.Second
	defaultCapacity       = 30 * time.Second
)

// withDefaults checks the options and returns them with the defaults filled in.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	if o.Name == "" {
		errs = append(errs, errors.New("the cluster has no name"))
	}
	if o.RESTConfig == nil {
		errs = append(errs, errors.New("there is no REST configuration"))
	}
	if o.HubID == "" {
		errs = append(errs, errors.New("there is no hub id"))
	}
	if o.SourceNamespace == "" {
		o.SourceNamespace = SystemNamespace
	}
	setDefault(&o.Concurrency, defaultConcurrency)
	setDefault(&o.RequestTimeout, defaultRequestTimeout)
	setDefault(&o.WaitTimeout, defaultWaitTimeout)
	setDefault(&o.StopGrace, defaultStopGrace)
	setDefault(&o.FullCompareInterval, defaultFullCompare)
	setDefault(&o.MaxBackoff, defaultMaxBackoff)
	setDefault(&o.CapacityInterval, defaultCapacity)
	if o.OnChange == nil {
		o.OnChange = func(string) {}
	}
	if o.OnRequest == nil {
		o.OnRequest = func(Request) {}
	}
	return o, errors.Join(errs...)
}

// setDefault replaces a zero value.
func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// clientConfig is the REST configuration for all requests to the cluster: ours in what a caller must
// not influence, the caller's in how to get there.
func (o Options) clientConfig() *rest.Config {
	cfg := rest.CopyConfig(o.RESTConfig)
	cfg.QPS, cfg.RateLimiter = -1, nil
	// Watches live long; each other request has a timeout of its own.
	cfg.Timeout = 0
	cfg.WarningHandler = rest.NoWarnings{}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "armada-sync"
	}
	return cfg
}

// httpClient is shared by everything that talks to the cluster, and so is its connection.
func httpClient(cfg *rest.Config) (*http.Client, error) { return rest.HTTPClientFor(cfg) }
