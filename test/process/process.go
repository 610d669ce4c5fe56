// Package process runs the programs of a whole-system test: Luminate, Prometheus and promtool.
//
// A program listens on port 0 of the loopback address and is asked nothing before its log names the port.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Spec says what to run.
type Spec struct {
	Path string
	Args []string
	Env  []string // Added to the environment, from which all LUMINATE_ variables are taken out first.
	Dir  string

	Address func(line string) (string, bool) // Finds the address host:port in a line of output; nil if nobody needs it.
	Ready   string                           // Path that answers 200 once the program is ready; "" if it need not be asked.
}

// A Process is a program under way. It ends by Stop or Kill.
type Process struct {
	cmd    *exec.Cmd
	output *output
	asked  atomic.Bool   // Whether Stop or Kill was called.
	done   chan struct{} // Closed when the program has ended.
}

// startTimeout is how long a program may take until it is ready.
const startTimeout = 60 * time.Second

// Start runs a program and returns when it is ready. A program that ends before is an error that holds its output.
func Start(ctx context.Context, s Spec) (*Process, error) {
	p, err := launch(s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.waitReady(ctx, s.Ready); err != nil {
		_ = p.Kill()
		return nil, fmt.Errorf("%s: %w; its output:\n%s", s.Path, err, p.Output())
	}
	return p, nil
}

func launch(s Spec) (*Process, error) {
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Dir = s.Dir
	cmd.Env = append(withoutOwn(os.Environ()), s.Env...)
	pipe, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("process: start %s: %w", s.Path, err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = pipe.Close()
		return nil, fmt.Errorf("process: start %s: %w", s.Path, err)
	}
	p := &Process{cmd: cmd, output: newOutput(s.Address), done: make(chan struct{})}
	go func() {
		p.output.readFrom(pipe)
		_ = cmd.Wait() // The exit code stands in the process state.
		close(p.done)
	}()
	return p, nil
}

// withoutOwn takes the variables out that would configure Luminate.
func withoutOwn(env []string) []string {
	var kept []string
	for _, v := range env {
		if !strings.HasPrefix(v, "LUMINATE_") {
			kept = append(kept, v)
		}
	}
	return kept
}

func (p *Process) waitReady(ctx context.Context, ready string) error {
	select {
	case <-p.output.found:
	case <-p.done:
		return fmt.Errorf("ended before it said where it listens (%w)", errEnded)
	case <-ctx.Done():
		return errors.New("did not say where it listens")
	}
	if ready == "" {
		return nil
	}
	err := Poll(ctx, func(ctx context.Context) error {
		select {
		case <-p.done:
			return errEnded
		default:
			return call(ctx, http.MethodGet, p.URL()+ready)
		}
	})
	if err != nil {
		return fmt.Errorf("did not become ready: %w", err)
	}
	return nil
}

var errEnded = errors.New("the program has ended")

// call sends a request without a body; an answer other than 200 is an error.
func call(ctx context.Context, method, url string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return err
	}
	// A connection of its own: an idle one would outlive the program.
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.500s", method, url, resp.Status, body)
	}
	return nil
}

// URL is the root of the program's HTTP address, without a slash at the end.
func (p *Process) URL() string { return "http://" + p.Address() }

// Address is where the program listens, host:port.
func (p *Process) Address() string { return p.output.address() }

// Output returns what the program has printed so far.
func (p *Process) Output() string { return p.output.text() }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Asked reports whether Stop or Kill was called.
func (p *Process) Asked() bool { return p.asked.Load() }

// Kill ends the program at once, as kill -9 does, and waits until it is gone.
func (p *Process) Kill() error {
	p.asked.Store(true)
	err := p.cmd.Process.Kill()
	<-p.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop asks the program to end and returns its exit code. A program that has not ended within the timeout is killed,
// which is an error.
func (p *Process) Stop(timeout time.Duration) (int, error) {
	p.asked.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, fmt.Errorf("process: stop: %w", err)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-timer.C:
		_ = p.Kill()
		return -1, fmt.Errorf("process: stop: not ended after %v; its output:\n%s", timeout, p.Output())
	}
}

// Poll calls f every few milliseconds until it returns nil, or until ctx ends; then its last error is returned.
func Poll(ctx context.Context, f func(context.Context) error) error {
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return err
		}
		// What a call says that was cut off by the deadline hides what the one before it said.
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-ticker.C:
		}
	}
}

// output collects what a program prints and looks for its address.
type output struct {
	find  func(string) (string, bool)
	found chan struct{} // Closed when addr is set.

	mu   sync.Mutex
	buf  strings.Builder
	addr string
}

func newOutput(find func(string) (string, bool)) *output {
	o := &output{find: find, found: make(chan struct{})}
	if find == nil {
		close(o.found)
	}
	return o
}

func (o *output) readFrom(pipe *os.File) {
	defer func() { _ = pipe.Close() }()
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		o.add(line)
		if err != nil {
			return
		}
	}
}

func (o *output) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.WriteString(line)
	if o.find == nil || o.addr != "" {
		return
	}
	if addr, ok := o.find(line); ok {
		o.addr = addr
		close(o.found)
	}
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) address() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addr
}
