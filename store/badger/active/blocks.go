package active

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"sync"

	"github.com/luminate-metrics/luminate/store/badger/active/chunk"
	"github.com/luminate-metrics/luminate/store/badger/active/slab"
)

// A block is a part of a chunk: the block before it, 0 for none, and bytes. Each belongs to the stripe of its series.
type block [4 + chunk.Tail]byte

func (b *block) before() uint32      { return binary.LittleEndian.Uint32(b[:]) }
func (b *block) setBefore(id uint32) { binary.LittleEndian.PutUint32(b[:], id) }

// blocks is all blocks, and the chain of those that are free.
type blocks struct {
	slab *slab.Slab[block]

	mu   sync.Mutex
	next uint64 // Never used; 0 is none.
	free uint32
	idle int64 // Length of the chain, and blocks of pages.
	// pages are first blocks of pages whose memory was given back.
	pages []uint32
}

// pageBlocks is the number of blocks of a page of memory.
const pageBlocks = 4096 / len(block{})

// A cache is free blocks of one owner.
type cache []uint32

const cacheSize = 64

// ready fills an empty cache so that it holds the two blocks that a sample may need.
func (c *cache) ready(b *blocks) bool {
	if len(*c) >= 2 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.free != 0 && len(*c) < cacheSize {
		*c = append(*c, b.free)
		b.free = b.slab.At(b.free).before()
		b.idle--
	}
	if n := len(b.pages); n > 0 && len(*c) < 2 {
		for i := range uint32(pageBlocks) {
			*c = append(*c, b.pages[n-1]+i)
		}
		b.pages = b.pages[:n-1]
		b.idle -= int64(pageBlocks)
	}
	for len(*c) < cacheSize {
		if b.slab.Grow(b.next+1) != nil {
			break
		}
		*c = append(*c, uint32(b.next))
		b.next++
	}
	return len(*c) >= 2
}

func (c *cache) take() uint32 {
	list := *c
	id := list[len(list)-1]
	*c = list[:len(list)-1]
	return id
}

// giveBack returns all blocks of a cache.
func (b *blocks) giveBack(c *cache) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range *c {
		b.slab.At(id).setBefore(b.free)
		b.free = id
		b.idle++
	}
	*c = (*c)[:0]
}

// release frees a chain.
func (b *blocks) release(newest uint32) {
	if newest == 0 {
		return
	}
	oldest, n := b.slab.At(newest), int64(1)
	for id := oldest.before(); id != 0; id = oldest.before() {
		oldest = b.slab.At(id)
		n++
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	oldest.setBefore(b.free)
	b.free = newest
	b.idle += n
}

// push puts bytes in front of a chain and returns the new front.
func (b *blocks) push(c *cache, before uint32, bytes *[chunk.Tail]byte) uint32 {
	id := c.take()
	to := b.slab.At(id)
	to.setBefore(before)
	copy(to[4:], bytes[:])
	return id
}

// copy appends the bytes of a chain to dst, the oldest first.
func (b *blocks) copy(dst []byte, newest uint32) []byte {
	n := 0
	for id := newest; id != 0; id = b.slab.At(id).before() {
		n++
	}
	at := len(dst) + n*chunk.Tail
	dst = slices.Grow(dst, at-len(dst))[:at]
	for id := newest; id != 0; {
		from := b.slab.At(id)
		at -= chunk.Tail
		copy(dst[at:], from[4:])
		id = from.before()
	}
	return dst
}

// trim gives the memory of pages back in which all blocks are free.
func (b *blocks) trim() {
	b.mu.Lock()
	defer b.mu.Unlock()
	pages := make([]uint64, (b.next+uint64(pageBlocks)-1)/uint64(pageBlocks)) // A bit for each free block.
	for id := b.free; id != 0; id = b.slab.At(id).before() {
		pages[id/uint32(pageBlocks)] |= 1 << (id % uint32(pageBlocks))
	}
	b.free = 0
	for page, free := range pages {
		first := uint32(page * pageBlocks)
		if free == math.MaxUint64 {
			if err := b.slab.Release(first, uint32(pageBlocks)); err == nil {
				b.pages = append(b.pages, first)
				continue
			}
		}
		for ; free != 0; free &= free - 1 {
			id := first + uint32(bits.TrailingZeros64(free))
			b.slab.At(id).setBefore(b.free)
			b.free = id
		}
	}
}

// size returns the bytes of blocks that were ever used, but for pages that were given back, and of those that are free.
func (b *blocks) size() (held, free int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := int64(len(b.pages)) * int64(pageBlocks)
	return (int64(b.next) - gone) * int64(len(block{})), (b.idle - gone) * int64(len(block{}))
}
