package badger

import (
	"fmt"
	"maps"
	"sync"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// A calendar is the partitions that there are, and those that will be when the heads are flushed. It keeps samples of all
// sorts of times from becoming more directories than a machine can bear.
type calendar struct {
	width int64
	most  int

	mu    sync.Mutex
	known map[int64]bool // By index.
}

func newCalendar(width int64, most int) *calendar {
	return &calendar{width: width, most: most, known: map[int64]bool{}}
}

// note makes the partition of a time known.
func (c *calendar) note(index int64) {
	c.mu.Lock()
	c.known[index] = true
	c.mu.Unlock()
}

// admit reports whether there may be a partition of that index, and makes it known.
func (c *calendar) admit(index int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known[index] && len(c.known) >= c.most {
		return false
	}
	c.known[index] = true
	return true
}

// forget takes out the partitions that end before the given time.
func (c *calendar) forget(before int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.known, func(index int64, _ bool) bool { return rangeOf(index, c.width).Max < before })
}

// tooManyPartitions is why a sample that would need one partition more is not stored.
func (c *calendar) tooManyPartitions(t int64) (metric.Reason, func() string) {
	return metric.Unsupported, func() string {
		return fmt.Sprintf("timestamp %d would need a new partition: the store has %d, the limit set by storage.badger.max_partitions", t, c.most)
	}
}
