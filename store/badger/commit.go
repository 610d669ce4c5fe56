package badger

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// groupBytes is the size of a group of records at which further tasks wait for the next one.
const groupBytes = 4 << 20

// A task is work of the committer. All tasks of a group are logged, then the group is made durable, then all are applied
// in the same order: so what can be read is durable, and a replay of the log gives the same state.
type task interface {
	// log adds records to the group. An error fails this task only; it must not have added any then.
	log(s *Store, g *wal.Group) error
	// apply makes the task's effect visible.
	apply(s *Store) error
}

// alone is a task that runs between groups. It logs nothing.
type alone func() error

func (alone) log(*Store, *wal.Group) error { return nil }
func (f alone) apply(*Store) error         { return f() }

// committer is the one goroutine that writes to the log and the head, and its queue.
type committer struct {
	store *Store

	mu     sync.Mutex
	queue  []*queued
	wake   chan struct{} // Holds one token if the queue may not be empty.
	closed chan struct{}
	done   chan struct{}
}

type queued struct {
	task task
	err  error
	done chan struct{}
}

func newCommitter(s *Store) *committer {
	c := &committer{store: s, wake: make(chan struct{}, 1), closed: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

// do runs a task. If ctx is done before the task's turn came, nothing of it happens; later it is not interrupted.
func (c *committer) do(ctx context.Context, t task) error {
	q := &queued{task: t, done: make(chan struct{})}
	c.mu.Lock()
	c.queue = append(c.queue, q)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
	}
	if c.withdraw(q) {
		return ctx.Err()
	}
	<-q.done
	return q.err
}

func (c *committer) withdraw(q *queued) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.queue {
		if c.queue[i] == q {
			c.queue = append(c.queue[:i:i], c.queue[i+1:]...)
			return true
		}
	}
	return false
}

// stop ends the goroutine. The queue must be empty.
func (c *committer) stop() {
	close(c.closed)
	<-c.done
}

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case <-c.wake:
		case <-c.closed:
			return
		}
		for c.round() {
			continue
		}
	}
}

// next takes the next task off the queue, if there is one that may join what runs already.
func (c *committer) next(first bool) *queued {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.queue = nil
		return nil
	}
	q := c.queue[0]
	if _, ok := q.task.(alone); ok && !first {
		return nil
	}
	c.queue = c.queue[1:]
	return q
}

// round commits one group and reports whether there was any.
func (c *committer) round() bool {
	s := c.store
	g := s.log.Begin()
	s.memory.writer.Begin()
	defer s.memory.writer.End()
	var group []*queued
	for g.Len() < groupBytes {
		q := c.next(len(group) == 0)
		if q == nil {
			break
		}
		group = append(group, q)
		if q.err = s.failure(); q.err == nil {
			q.err = q.task.log(s, g)
		}
		if _, ok := q.task.(alone); ok {
			break
		}
	}
	if len(group) == 0 {
		return false
	}
	if err := s.log.Commit(); err != nil {
		s.fail(err)
		for _, q := range group {
			q.err = s.failure()
		}
	} else {
		s.metrics.group.Observe(float64(len(group)))
	}
	for _, q := range group {
		if q.err == nil {
			q.err = q.task.apply(s)
		}
		close(q.done)
	}
	return true
}

// fail makes the store take no more writes, for ever: what the log holds on disk is not known any more.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		s.failErr = problem.Wrap(problem.Unavailable, fmt.Errorf("%w: %w", store.ErrUnavailable, err), "the store can't write to its disk")
		s.metrics.failed.Set(1)
		s.opts.Logger.Error("The write-ahead log failed: the store takes no more writes", slog.Any("err", err))
		close(s.failed)
	})
}

// failure returns why the store takes no more writes, or nil.
func (s *Store) failure() error {
	select {
	case <-s.failed:
		return s.failErr
	default:
		return nil
	}
}

// Failed is closed when a write to the log failed. The process should end then: after a restart everything that was
// acknowledged is there.
func (s *Store) Failed() <-chan struct{} { return s.failed }
