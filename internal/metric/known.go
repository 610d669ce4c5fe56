package metric

import "sync/atomic"

const (
	bucketHashes = 8 // One cache line.
	fewBuckets   = 1 << 9
	mostBuckets  = 1 << 19

	// MaxKnownBytes is what a Known takes at most.
	MaxKnownBytes = mostBuckets * bucketHashes * 8
)

// A Known remembers the hashes of labels that are in canonical form and keep the same Rules, so that they need not be
// looked at again. It is a cache: it forgets at random when it is full. It starts at 32 KiB and grows with the series that
// come again and again, up to MaxKnownBytes. Its methods may be called concurrently.
//
// It keeps 64 bits of a hash and finds them by some of the others. Bad labels would pass with a probability of 2^-61 for
// each time that they are sent, and whoever sends them does not know the hasher's seed.
type Known struct {
	hasher Hasher
	rules  Rules
	table  atomic.Pointer[knownTable]
}

type knownTable struct {
	buckets []bucket
	looked  atomic.Int64 // Look-ups since the last decision about growth.
	evicted atomic.Int64 // Hashes that were replaced since then.
}

type bucket [bucketHashes]atomic.Uint64

// NewKnown returns an empty memory of labels that keep r, by their hashes of hasher.
func NewKnown(hasher Hasher, r *Rules) *Known {
	k := &Known{hasher: hasher, rules: *r}
	k.table.Store(&knownTable{buckets: make([]bucket, fewBuckets)})
	return k
}

// Serves reports whether k is about labels that b's hasher identifies and that keep r.
func (k *Known) Serves(b *Batch, r *Rules) bool { return k.hasher == b.hasher && k.rules == *r }

// Have sets known[i], for each of the series, to whether its labels are known. Looking up many together hides most of the
// time that memory takes to answer.
func (k *Known) Have(series []Series, known []bool) {
	t := k.table.Load()
	// A loop that does nothing else asks for the next lines of memory while the first ones are on their way.
	var touched uint64
	for i := range series {
		touched |= t.bucket(series[i].Hash)[0].Load()
	}
	if touched == 0 { // Buckets are filled from the front.
		clear(known)
		return
	}
	for i := range series {
		known[i] = t.bucket(series[i].Hash).has(series[i].Hash.Lo)
	}
	t.looked.Add(int64(len(series)))
}

func (t *knownTable) bucket(h Hash) *bucket { return &t.buckets[h.Hi&uint64(len(t.buckets)-1)] }

// has avoids branches: which of the hashes it is can't be predicted, and a processor that guesses wrong does not go on to
// the next look-up while this one waits for memory.
func (b *bucket) has(lo uint64) bool {
	differ := ^uint64(0)
	for i := range b {
		d := b[i].Load() ^ lo
		differ &= d | -d // The top bit stays if d is not 0.
	}
	return differ>>63 == 0 && lo != 0
}

// Add notes the hash of labels that are canonical and keep k's rules.
func (k *Known) Add(h Hash) {
	t := k.table.Load()
	b := t.bucket(h)
	if b.has(h.Lo) {
		return
	}
	for i := range b {
		if b[i].CompareAndSwap(0, h.Lo) {
			return
		}
	}
	b[h.Hi>>32%bucketHashes].Store(h.Lo)
	if t.evicted.Add(1)%fewBuckets == 0 {
		k.reconsider(t)
	}
}

// reconsider doubles the table if more than one look-up in 32 ended in forgetting something. The new one starts empty:
// looking at all labels once more costs less than to keep what it takes to move their hashes.
func (k *Known) reconsider(t *knownTable) {
	slots := int64(len(t.buckets) * bucketHashes)
	looked, evicted := t.looked.Load(), t.evicted.Load()
	switch {
	case evicted > slots/8 && evicted > looked/32 && len(t.buckets) < mostBuckets:
		k.table.CompareAndSwap(t, &knownTable{buckets: make([]bucket, 2*len(t.buckets))})
	case looked > 4*slots:
		t.looked.Store(0)
		t.evicted.Store(0)
	}
}

// Bytes is the memory that k takes.
func (k *Known) Bytes() int { return len(k.table.Load().buckets) * bucketHashes * 8 }
