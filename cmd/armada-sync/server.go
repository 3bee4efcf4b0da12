package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// server answers /metrics, /healthz and /readyz.
type server struct {
	address string
	http    *http.Server
}

// serve begins to answer at once. /healthz is 200 while the process lives, /readyz once ready says so.
func serve(ctx context.Context, log *slog.Logger, address string, registry *prometheus.Registry, ready func() bool) (*server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, ready()) })
	s := &server{
		address: listener.Addr().String(),
		http:    &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute},
	}
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			// Clusters matter more than metrics: the controller goes on without them.
			log.ErrorContext(ctx, "metrics are no longer served", "error", err)
		}
	}()
	return s, nil
}

func answer(w http.ResponseWriter, ok bool) {
	if !ok {
		http.Error(w, "not ready: no plan was computed yet", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *server) close() {
	// Scrapes are short and nobody loses anything by one that is cut off.
	_ = s.http.Close()
}

// registerProcess adds the metrics of the process and of Go itself.
func registerProcess(r *prometheus.Registry) {
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
