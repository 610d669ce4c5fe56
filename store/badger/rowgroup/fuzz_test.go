package rowgroup_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// FuzzReader opens any bytes, as they are and with a checksum that is right. A value that opens must be readable.
func FuzzReader(f *testing.F) {
	var e rowgroup.Encoder
	for seed := range uint64(30) {
		f.Add(encode(f, &e, randomGroup(rand.New(rand.NewPCG(9, seed)))))
	}
	golden, _, _ := goldenGroup()
	f.Add(encode(f, &e, golden))
	f.Add([]byte{})
	var r rowgroup.Reader
	f.Fuzz(func(t *testing.T, value []byte) {
		if err := r.Open(value); err != nil && !errors.Is(err, rowgroup.ErrCorrupt) && !errors.Is(err, rowgroup.ErrVersion) {
			t.Fatalf("unknown error %v", err)
		}
		value = slices.Clone(value)
		rowgroup.Seal(value)
		if err := r.Open(value); err != nil {
			if r.Members() != 0 {
				t.Fatal("members in spite of an error")
			}
			return
		}
		if _, err := rowgroup.Peek(value); err != nil {
			t.Fatal(err)
		}
		n := 0
		for r.Select(^uint64(0)); r.Next(); {
			i, c := r.At()
			n++
			if len(c.Values) != r.Samples(i) || len(c.Timestamps) != len(c.Values) || c.Starts != nil && len(c.Starts) != len(c.Values) {
				t.Fatalf("member %d: %d timestamps, %d values, %d starts", i, len(c.Timestamps), len(c.Values), len(c.Starts))
			}
			if len(c.Values) > rowgroup.MaxSamples {
				t.Fatalf("member %d has %d samples", i, len(c.Values))
			}
		}
		if n != bits.OnesCount64(r.Members()) {
			t.Fatalf("%d members, want %d", n, bits.OnesCount64(r.Members()))
		}
		var one rowgroup.Column
		for i := rowgroup.MaxMembers - 1; i >= 0; i-- {
			if one = r.Column(one, i); len(one.Values) != r.Samples(i) {
				t.Fatalf("member %d: %d values, want %d", i, len(one.Values), r.Samples(i))
			}
		}
	})
}

// FuzzRoundTrip makes a group of any bytes and wants it back.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	r := rand.New(rand.NewPCG(1, 1))
	for kind := range byte(6) {
		data := []byte{byte(r.IntN(256)), byte(r.IntN(256)), kind}
		for range 400 {
			data = append(data, byte(r.IntN(256)))
		}
		f.Add(data)
	}
	var e rowgroup.Encoder
	var reader rowgroup.Reader
	f.Fuzz(func(t *testing.T, data []byte) {
		g := groupOf(data)
		compare(t, &reader, g, encode(t, &e, g))
	})
}

// bytesReader hands out numbers from bytes, and zeroes behind their end.
type bytesReader []byte

func (b *bytesReader) byte() byte {
	if len(*b) == 0 {
		return 0
	}
	x := (*b)[0]
	*b = (*b)[1:]
	return x
}

func (b *bytesReader) uint64() uint64 {
	var x [8]byte
	for i := range x {
		x[i] = b.byte()
	}
	return binary.LittleEndian.Uint64(x[:])
}

func groupOf(data []byte) *rowgroup.Group {
	b := bytesReader(data)
	g := &rowgroup.Group{}
	members, n := 1+int(b.byte()%16), 1+int(b.byte())
	var ts []int64
	for k := range members {
		kind := b.byte()
		if ts == nil || kind&1 != 0 {
			ts = timesOf(&b, n)
		}
		own := ts
		if kind&2 != 0 {
			own = slices.DeleteFunc(slices.Clone(ts), func(t int64) bool { return t != ts[0] && b.byte()&3 == 0 })
		}
		c := rowgroup.Column{Timestamps: own, Values: make([]float64, len(own))}
		last := 0.0
		for i := range c.Values {
			switch kind >> 2 & 3 {
			case 0:
				last += float64(b.byte())
			case 1:
				last = float64(int8(b.byte())) / 100
			case 2:
				last += float64(b.byte()) / 1000
			default:
				last = math.Float64frombits(b.uint64())
			}
			c.Values[i] = last
		}
		if kind&16 != 0 {
			c.Starts = make([]int64, len(own))
			for i := range c.Starts {
				c.Starts[i] = own[0] - int64(b.byte())
			}
		}
		g[k*4] = c
	}
	return g
}

func timesOf(b *bytesReader, n int) []int64 {
	ts := make([]int64, 0, n)
	at := int64(b.uint64())
	for range n {
		ts = append(ts, at)
		next := at + 1 + int64(b.byte())
		if next <= at {
			break
		}
		at = next
	}
	return ts
}
