//go:build e2e

package failover_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy before an API server. While it is cut, connections stay open and are accepted, and
// nothing comes through in either direction, as with a firewall that drops packets.
type proxy struct {
	listener net.Listener
	target   string

	mu sync.Mutex
	// open is closed while bytes may pass.
	open  chan struct{}
	conns map[net.Conn]bool
	ended chan struct{}
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, open: make(chan struct{}), conns: map[net.Conn]bool{}, ended: make(chan struct{})}
	close(p.open)
	go p.serve()
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// cut lets nothing through until heal.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// heal lets new connections through. Those from before end, as behind a firewall that has forgotten them.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	close(p.open)
}

// passable waits until bytes may pass; false: the proxy has ended.
func (p *proxy) passable() bool {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	select {
	case <-open:
		return true
	case <-p.ended:
		return false
	}
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

func (p *proxy) forward(client net.Conn) {
	defer p.keep(client)()
	if !p.passable() {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.keep(server)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			p.copy(way[1], way[0])
			// Either end of a connection ends all of it.
			_ = client.Close()
			_ = server.Close()
		})
	}
	both.Wait()
}

// keep remembers a connection, to be closed with the proxy; the function that it returns closes it now.
func (p *proxy) keep(c net.Conn) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		_ = c.Close()
	}
}

func (p *proxy) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !p.passable() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) close() {
	close(p.ended)
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
