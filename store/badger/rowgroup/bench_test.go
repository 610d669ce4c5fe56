package rowgroup_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
)

// processorTime returns the nanoseconds that the process has computed, which a busy machine does not stretch as it does
// the time on the wall.
func processorTime(b *testing.B) int64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// benchFleet runs f for each kind of data and length of span, and reports bytes and nanoseconds of CPU a sample. f is called with
// the groups in turn, and with the values that form makes of them.
func benchFleet(b *testing.B, form func(*rowgroup.Group) [][]byte, f func(g *rowgroup.Group, values [][]byte)) {
	b.Helper()
	for _, jitter := range []bool{false, true} {
		name := "regular"
		if jitter {
			name = "jitter"
		}
		data := newFleet(1024, 960, jitter)
		for _, n := range []int{20, 60, 180, 480} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				groups := data.groups(n)
				values := make([][][]byte, len(groups))
				size := 0
				for i, g := range groups {
					values[i] = form(g)
					for _, v := range values[i] {
						size += len(v)
					}
				}
				b.ReportAllocs()
				i, start := 0, processorTime(b)
				for b.Loop() {
					f(groups[i], values[i])
					if i++; i == len(groups) {
						i = 0
					}
				}
				used := processorTime(b) - start
				samples := float64(n * rowgroup.MaxMembers)
				b.ReportMetric(float64(size)/float64(len(groups))/samples, "B/sample")
				b.ReportMetric(float64(used)/float64(b.N)/samples, "cpu-ns/sample")
			})
		}
	}
}

// whole is the form that the package is about: a value for a group.
func whole(b *testing.B) func(*rowgroup.Group) [][]byte {
	b.Helper()
	var e rowgroup.Encoder
	return func(g *rowgroup.Group) [][]byte { return [][]byte{encode(b, &e, g)} }
}

func BenchmarkEncode(b *testing.B) {
	var e rowgroup.Encoder
	var dst []byte
	benchFleet(b, whole(b), func(g *rowgroup.Group, _ [][]byte) {
		var err error
		if dst, err = e.Encode(dst[:0], g); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDecodeAll(b *testing.B) {
	benchFleet(b, whole(b), decodeAll(b))
}

func decodeAll(b *testing.B) func(*rowgroup.Group, [][]byte) {
	b.Helper()
	var r rowgroup.Reader
	return func(_ *rowgroup.Group, values [][]byte) {
		for _, v := range values {
			if err := r.Open(v); err != nil {
				b.Fatal(err)
			}
			for r.Select(^uint64(0)); r.Next(); {
				r.At()
			}
		}
	}
}

// BenchmarkDecodeOne reads one member of a group; the time of a sample counts the members that nobody asked for, too.
func BenchmarkDecodeOne(b *testing.B) {
	var r rowgroup.Reader
	var c rowgroup.Column
	member := 0
	benchFleet(b, whole(b), func(_ *rowgroup.Group, values [][]byte) {
		if err := r.Open(values[0]); err != nil {
			b.Fatal(err)
		}
		c = r.Column(c, member)
		member = (member + 7) % rowgroup.MaxMembers
	})
}

func BenchmarkOpen(b *testing.B) {
	var r rowgroup.Reader
	benchFleet(b, whole(b), func(_ *rowgroup.Group, values [][]byte) {
		if err := r.Open(values[0]); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkAlone reads the same samples from a row group for each series.
func BenchmarkAlone(b *testing.B) {
	var e rowgroup.Encoder
	benchFleet(b, func(g *rowgroup.Group) (values [][]byte) {
		for _, c := range g {
			values = append(values, encode(b, &e, &rowgroup.Group{c}))
		}
		return values
	}, decodeAll(b))
}

// BenchmarkXOR reads the same samples from Prometheus's chunks.
func BenchmarkXOR(b *testing.B) {
	var it chunkenc.Iterator
	benchFleet(b, func(g *rowgroup.Group) (values [][]byte) {
		for _, c := range g {
			chunk := chunkenc.NewXORChunk()
			app, err := chunk.Appender()
			if err != nil {
				b.Fatal(err)
			}
			for i, ts := range c.Timestamps {
				app.Append(0, ts, c.Values[i])
			}
			values = append(values, chunk.Bytes())
		}
		return values
	}, func(_ *rowgroup.Group, values [][]byte) {
		for _, v := range values {
			chunk, err := chunkenc.FromData(chunkenc.EncXOR, v)
			if err != nil {
				b.Fatal(err)
			}
			for it = chunk.Iterator(it); it.Next() != chunkenc.ValNone; {
				it.At()
			}
		}
	})
}
