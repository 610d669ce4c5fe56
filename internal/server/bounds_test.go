package server_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luminate-metrics/luminate/internal/server"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A countingListener counts the connections that were accepted and not closed.
type countingListener struct {
	net.Listener
	now, most atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.most.Store(max(l.most.Load(), l.now.Add(1)))
	}
	return &countedConn{Conn: c, l: l}, err
}

type countedConn struct {
	net.Conn
	l    *countingListener
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.l.now.Add(-1) })
	return c.Conn.Close()
}

// The store needs file descriptors as well: connections must not take all of them.
func TestConnectionsAreCounted(t *testing.T) {
	s := newServer(t, func(o *server.Options) { o.MaxConns = 2 })
	ln := &countingListener{Listener: listen(t)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns { // Those that wait are served when others are gone.
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if most := ln.most.Load(); most > 2 {
		t.Errorf("%d connections were open at once, want 2", most)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A form in a page of another origin is sent without asking anybody: it must not write or delete.
func TestForeignPages(t *testing.T) {
	scopes := map[tenancy.Scopes]int{tenancy.Read: 0, tenancy.Write: 0, tenancy.Admin: 0}
	s := newServer(t, nil, groups()...)
	for _, r := range s.Routes() {
		if _, ok := scopes[r.Scope]; !ok || r.Method != http.MethodPost {
			continue
		}
		scopes[r.Scope]++
		foreign := do(s, r.Method, r.Path, "", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").Code
		old := do(s, r.Method, r.Path, "", "Origin", "https://evil.example").Code
		own := do(s, r.Method, r.Path, "", "Sec-Fetch-Site", "same-origin").Code
		tool := do(s, r.Method, r.Path, "").Code
		if refused := r.Scope != tenancy.Read; own != tool || (foreign == 403 && old == 403) != (refused || tool == 403) {
			t.Errorf("%s %s: foreign page %d, in an old browser %d; own page %d, tool %d", r.Method, r.Path, foreign, old, own, tool)
		}
	}
	for scope, n := range scopes {
		if n == 0 {
			t.Errorf("no route asks for scope %s", scope)
		}
	}
}
