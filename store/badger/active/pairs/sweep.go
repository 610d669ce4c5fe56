package pairs

import (
	"sync/atomic"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store/badger/active/postings"
)

// Sweep takes references out of all postings and the pairs that lost their last one out of the table. Only one goroutine
// sweeps at a time. It goes over pairs, not over series and their labels: most pairs have one run of references.
func (p *Pairs) Sweep(set *postings.Set) (died int, err error) {
	died, touched, err := p.subtract(set)
	for _, c := range touched {
		p.unchain(c)
	}
	return died, err
}

// subtract finds the pairs that die and returns their columns.
func (p *Pairs) subtract(set *postings.Set) (died int, touched []*Column, err error) {
	marked := map[*Column]bool{}
	limit := p.limit()
	for number := range limit {
		gone, err := p.post.Subtract(number, set)
		if err != nil {
			return died, touched, err
		}
		if !gone {
			continue
		}
		died++
		c, value := p.Pair(number)
		if !marked[c] {
			marked[c] = true
			touched = append(touched, c)
		}
		c.values.Add(-1)
		c.bytes.Add(-int64(len(value)))
	}
	return died, touched, nil
}

// unchain takes dead pairs out of a column's chain and out of the index. Only the beginning of a chain is shared with
// those who add pairs.
func (p *Pairs) unchain(c *Column) {
	var gone []uint32
	before := uint32(0)
	for at := c.newest.Load(); at != 0; {
		next := atomic.LoadUint32(p.next.At(at - 1))
		switch {
		case !p.post.Dead(at - 1):
			before = at
		case before != 0:
			atomic.StoreUint32(p.next.At(before-1), next)
			gone = append(gone, at-1)
		default:
			p.unchainFirst(c, at, next)
			gone = append(gone, at-1)
		}
		at = next
	}
	c.changes.Add(1)
	for _, number := range gone {
		p.unindex(c, number)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, number := range gone {
		p.retired.Put(p.epochs, number)
	}
}

func (p *Pairs) unchainFirst(c *Column, first, next uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.newest.Load() == first {
		c.newest.Store(next)
		return
	}
	at := c.newest.Load()
	for {
		follows := p.next.At(at - 1)
		if atomic.LoadUint32(follows) == first {
			atomic.StoreUint32(follows, next)
			return
		}
		at = atomic.LoadUint32(follows)
	}
}

func (p *Pairs) unindex(c *Column, number uint32) {
	_, value := p.Pair(number)
	encoded, _, err := Split(metric.AppendLabel(nil, []byte(c.Name), value))
	if err != nil {
		return // It was made by create.
	}
	hash := p.hash(c.Tenant, encoded)
	shard := p.index.Lock(hash)
	defer shard.Unlock()
	shard.Remove(hash, number)
}

// Collect makes the numbers and the memory of dead pairs that nobody can know any more usable again.
func (p *Pairs) Collect() {
	oldest := p.epochs.Oldest()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		number, ok := p.retired.Take(oldest)
		if !ok {
			return
		}
		at := atomic.LoadUint32(p.offset.At(number))
		_, n, w := header(p.values.After(at))
		p.values.Free(at, n+w)
		p.free = append(p.free, number)
	}
}
