package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// open opens a log and returns what it replayed, one line for each record.
func open(tb testing.TB, opts wal.Options) (*wal.Log, wal.Recovery, []string) {
	tb.Helper()
	var lines []string
	l, found, err := wal.Open(opts, func(r *wal.Record) error {
		lines = append(lines, describe(r))
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l, found, lines
}

func describe(r *wal.Record) string {
	switch r.Kind {
	case wal.KindDelete:
		return fmt.Sprintf("%d delete %s %v %v %d", r.Number, r.Delete.Tenant, r.Delete.Range, r.Delete.Matchers, r.Delete.Sequence)
	case wal.KindExpire:
		return fmt.Sprintf("%d expire %d", r.Number, r.Expire)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d batch %d %s", r.Number, r.Batch.Generation, r.Batch.Tenant)
	for _, s := range r.Batch.Series {
		fmt.Fprintf(&b, " | %d %q %v %v %v", s.Ref, s.Labels, r.Batch.Samples[s.Samples.Start:s.Samples.End],
			r.Batch.Histograms[s.Histograms.Start:s.Histograms.End], r.Batch.Exemplars[s.Exemplars.Start:s.Exemplars.End])
	}
	return b.String() + fmt.Sprint(" ", r.Batch.Metadata)
}

// write commits one batch with one sample.
func write(tb testing.TB, l *wal.Log, v float64) {
	tb.Helper()
	b := metric.NewBatch(metric.Hasher{})
	b.StartSeries([]byte("labels of a series"), 0)
	b.AddSample(metric.Sample{Timestamp: 1000, Value: v})
	g := l.Begin()
	g.StartBatch(1, "acme")
	g.Series(1, b.Series[0].Labels, b, &b.Series[0])
	if err := l.Commit(); err != nil {
		tb.Fatal(err)
	}
}

func closeLog(tb testing.TB, l *wal.Log) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestRecordsComeBack(t *testing.T) {
	dir := t.TempDir()
	l, _, lines := open(t, wal.Options{Dir: dir})
	if len(lines) > 0 {
		t.Fatal(lines)
	}
	b := metric.NewBatch(metric.Hasher{})
	b.StartSeries([]byte("first"), 0)
	b.AddSample(metric.Sample{Timestamp: -5, Value: 1, Start: -50})
	b.AddSample(metric.Sample{Timestamp: 7, Value: -0.5})
	b.AddHistogram(metric.Histogram{Timestamp: 9, Start: 3, Int: &histogram.Histogram{
		Schema: 3, Count: 4, Sum: 2.5, PositiveSpans: []histogram.Span{{Offset: -2, Length: 2}}, PositiveBuckets: []int64{3, -2},
	}})
	b.AddHistogram(metric.Histogram{Timestamp: 10, Float: &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, CustomValues: []float64{1, 2}, Count: 0.5, CounterResetHint: histogram.GaugeType,
	}})
	b.AddExemplar(metric.Exemplar{Timestamp: 8, Value: 2, Labels: []byte("trace")})
	b.StartSeries(nil, 1)
	b.AddSample(metric.Sample{Timestamp: 7, Value: 2})
	b.Metadata = append(b.Metadata, metric.Metadata{Family: "f", Type: "counter", Help: "h", Unit: "u"})

	g := l.Begin()
	g.StartBatch(3, "acme")
	g.Series(12, b.Series[0].Labels, b, &b.Series[0])
	g.Series(11, []byte{}, b, &b.Series[1])
	g.Metadata(b.Metadata[0])
	g.Delete(wal.Delete{
		Tenant: "other", Range: store.AllTime(), Sequence: 9,
		Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchNotRegexp, "a", "b.*")},
	})
	g.Expire(-77)
	g.StartBatch(3, "acme")
	g.Series(12, nil, b, &b.Series[1])
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)

	l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
	defer closeLog(t, l)
	item := func(h any) string { return fmt.Sprint(h) }
	want := []string{
		`1 batch 3 acme | 12 "first" [{-5 -50 1} {7 0 -0.5}] ` + item(b.Histograms) + ` ` + item(b.Exemplars) + ` | 11 "" [{7 0 2}] [] [] [{f counter h u}]`,
		`2 delete other {-9223372036854775808 9223372036854775807} [a!~"b.*"] 9`,
		`3 expire -77`,
		`4 batch 3 acme | 12 "" [{7 0 2}] [] [] []`,
	}
	// Pointers to histograms differ.
	cut := func(s string) string {
		s, _, _ = strings.Cut(s, "0x")
		return s
	}
	for i := range want {
		want[i] = cut(want[i])
	}
	for i := range lines {
		lines[i] = cut(lines[i])
	}
	if diff := cmp.Diff(want, lines); diff != "" || len(found.Losses) > 0 {
		t.Fatal(diff, found)
	}
}

// TestTornTail cuts the log at each byte of the last record, which then was never acknowledged.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, wal.Options{Dir: dir})
	write(t, l, 1)
	write(t, l, 2)
	before := segment(t, dir)
	write(t, l, 3)
	after := segment(t, dir)
	closeLog(t, l)
	if len(after) <= len(before) {
		t.Fatal("the last record took no bytes")
	}
	for cut := len(before); cut < len(after); cut++ {
		for _, padded := range []bool{false, true} {
			torn := t.TempDir()
			data := slices.Clone(after[:cut])
			if padded { // As the end of a file looks after a power cut.
				data = append(data, make([]byte, 5000)...)
			}
			put(t, torn, "00000000", data)
			l, found, lines := open(t, wal.Options{Dir: torn, First: 1})
			if len(lines) != 2 || len(found.Losses) > 0 {
				t.Fatalf("cut at %d of %d: replayed %v, lost %v", cut, len(after), lines, found.Losses)
			}
			write(t, l, 4)
			closeLog(t, l)
			l, found, lines = open(t, wal.Options{Dir: torn, First: 1})
			if len(lines) != 3 || !strings.HasPrefix(lines[2], "3 ") || len(found.Losses) > 0 || found.Torn > 0 {
				t.Fatalf("cut at %d, opened again: replayed %v, found %+v", cut, lines, found)
			}
			closeLog(t, l)
		}
	}
}

// TestDamage flips each byte of a log in turn. Whatever is lost is announced and kept.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, wal.Options{Dir: dir})
	for i := range 3 {
		write(t, l, float64(i))
	}
	data := segment(t, dir)
	if _, _, err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	write(t, l, 3)
	closeLog(t, l)
	second, err := os.ReadFile(filepath.Join(dir, "00000001"))
	if err != nil {
		t.Fatal(err)
	}
	size := len(data) / 3
	for at := range data {
		damaged := t.TempDir()
		bad := slices.Clone(data)
		bad[at] ^= 0x41
		put(t, damaged, "00000000", bad)
		put(t, damaged, "00000001", second)
		l, found, lines := open(t, wal.Options{Dir: damaged, First: 1, Quarantine: damaged + "-q"})
		closeLog(t, l)
		good := at / size
		if len(lines) != good+1 || !strings.HasPrefix(lines[good], "4 ") {
			t.Fatalf("byte %d: replayed %v", at, lines)
		}
		if len(found.Losses) != 1 {
			t.Fatalf("byte %d: losses %+v", at, found.Losses)
		}
		loss := found.Losses[0]
		if loss.FirstRecord != uint64(good+1) || loss.LastRecord != 3 || loss.Offset != int64(good*size) {
			t.Fatalf("byte %d: loss %+v", at, loss)
		}
		kept, err := os.ReadFile(loss.Kept)
		if err != nil || !bytes.Equal(kept, bad[good*size:]) {
			t.Fatalf("byte %d: quarantine holds %d bytes, error %v", at, len(kept), err)
		}
	}
}

func TestDamageInTheLastSegment(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, wal.Options{Dir: dir})
	for i := range 3 {
		write(t, l, float64(i))
	}
	closeLog(t, l)
	data, err := os.ReadFile(filepath.Join(dir, "00000000"))
	if err != nil {
		t.Fatal(err)
	}
	data[10] ^= 1
	put(t, dir, "00000000", data)
	l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
	closeLog(t, l)
	if len(lines) != 0 || len(found.Losses) != 1 || found.Torn != 0 {
		t.Fatalf("replayed %v, found %+v", lines, found)
	}
}

func TestMissingSegment(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, wal.Options{Dir: dir})
	for i := range 3 {
		write(t, l, float64(i))
		if _, _, err := l.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	for i, want := range []wal.Loss{{FirstRecord: 1, LastRecord: 1}, {FirstRecord: 2, LastRecord: 2}} {
		other := t.TempDir()
		for k := range 3 {
			name := fmt.Sprintf("%08d", k)
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if k != i {
				put(t, other, name, data)
			}
		}
		l, found, lines := open(t, wal.Options{Dir: other, First: 1})
		closeLog(t, l)
		if len(lines) != 2 || len(found.Losses) != 1 || found.Losses[0].FirstRecord != want.FirstRecord || found.Losses[0].LastRecord != want.LastRecord {
			t.Fatalf("without segment %d: replayed %v, losses %+v", i, lines, found.Losses)
		}
	}
	// What was dropped on purpose is no loss.
	l, found, lines := open(t, wal.Options{Dir: dir, First: 3})
	closeLog(t, l)
	if len(lines) != 1 || len(found.Losses) > 0 {
		t.Fatalf("from record 3 on: replayed %v, losses %+v", lines, found.Losses)
	}
}

func TestNumbersGoOnAfterDrop(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, wal.Options{Dir: dir})
	write(t, l, 1)
	segment, first, err := l.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Drop(segment); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l, _, lines := open(t, wal.Options{Dir: dir, First: first})
	if len(lines) > 0 || l.Begin().Next() != first {
		t.Fatalf("replayed %v, next is %d, want %d", lines, l.Begin().Next(), first)
	}
	closeLog(t, l)
}

// faulty fails the n-th call of a kind.
type faulty struct {
	wal.Segments
	logs, syncs int // Calls that still succeed.
}

var errDisk = errors.New("input/output error")

func (f *faulty) Log(records ...[]byte) error {
	if f.logs--; f.logs < 0 {
		return errDisk
	}
	return f.Segments.Log(records...)
}

func (f *faulty) Sync() error {
	if f.syncs--; f.syncs < 0 {
		return errDisk
	}
	return f.Segments.Sync()
}

func TestNothingAfterAFailure(t *testing.T) {
	for name, f := range map[string]*faulty{"log": {logs: 1, syncs: 9}, "sync": {logs: 9, syncs: 1}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, _, _ := open(t, wal.Options{Dir: dir, Wrap: func(s wal.Segments) wal.Segments { f.Segments = s; return f }})
			write(t, l, 1)
			l.Begin().Expire(1)
			if err := l.Commit(); !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			f.logs, f.syncs = 9, 9 // The disk seems to work again.
			l.Begin().Expire(2)
			if err := l.Commit(); !errors.Is(err, wal.ErrFailed) {
				t.Fatal(err)
			}
			if _, _, err := l.Rotate(); !errors.Is(err, wal.ErrFailed) {
				t.Fatal(err)
			}
			closeLog(t, l)
			l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
			closeLog(t, l)
			if len(lines) == 0 || !strings.HasPrefix(lines[0], "1 batch") || len(found.Losses) > 0 {
				t.Fatalf("replayed %v, found %+v", lines, found)
			}
		})
	}
}

func TestGroupOverSegments(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := open(t, wal.Options{Dir: dir, SegmentBytes: 128 << 10})
	b := metric.NewBatch(metric.Hasher{})
	b.StartSeries(bytes.Repeat([]byte("x"), 20_000), 0)
	b.AddSample(metric.Sample{Timestamp: 1})
	g := l.Begin()
	for i := range 40 {
		g.StartBatch(1, "acme")
		g.Series(uint64(i), b.Series[0].Labels, b, &b.Series[0])
	}
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	names, err := filepath.Glob(filepath.Join(dir, "0*"))
	if err != nil || len(names) < 8 {
		t.Fatal(names, err)
	}
	l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
	closeLog(t, l)
	if len(lines) != 40 || len(found.Losses) > 0 {
		t.Fatalf("replayed %d, found %+v", len(lines), found)
	}
}

func segment(tb testing.TB, dir string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "00000000"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func put(tb testing.TB, dir, name string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o640); err != nil {
		tb.Fatal(err)
	}
}

// TestMissingEnd takes acknowledged records off the end, where nothing that is left shows that there were any.
func TestMissingEnd(t *testing.T) {
	for name, take := range map[string]func(name string, two int64) error{
		"cut at a record":     os.Truncate,
		"cut within a record": func(name string, two int64) error { return os.Truncate(name, two+9) },
		"emptied":             func(name string, _ int64) error { return os.Truncate(name, 0) },
		"deleted":             func(name string, _ int64) error { return os.Remove(name) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "wal")
			l, _, _ := open(t, wal.Options{Dir: dir})
			write(t, l, 1)
			write(t, l, 2)
			two := len(segment(t, dir))
			write(t, l, 3)
			write(t, l, 4)
			closeLog(t, l)
			if err := take(filepath.Join(dir, "00000000"), int64(two)); err != nil {
				t.Fatal(err)
			}
			l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
			if len(found.Losses) != 1 || found.Losses[0].FirstRecord != uint64(len(lines)+1) || found.Losses[0].LastRecord != 4 || found.Torn != 0 {
				t.Fatalf("replayed %v, found %+v", lines, found)
			}
			write(t, l, 5)
			closeLog(t, l)
			l, found, again := open(t, wal.Options{Dir: dir, First: 1})
			if len(found.Losses) > 0 || len(again) != len(lines)+1 {
				t.Fatalf("opened again: replayed %v, found %+v", again, found)
			}
			closeLog(t, l)
		})
	}
}

// TestUnreadableMark has a log without its mark: nothing is known about its end then, and all that is there is read.
func TestUnreadableMark(t *testing.T) {
	for name, data := range map[string][]byte{"empty": {}, "damaged": make([]byte, 12)} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "wal")
			l, _, _ := open(t, wal.Options{Dir: dir})
			write(t, l, 1)
			closeLog(t, l)
			if name == "damaged" {
				data[0] = 200
			}
			if err := os.WriteFile(dir+".end", data, 0o600); err != nil {
				t.Fatal(err)
			}
			l, found, lines := open(t, wal.Options{Dir: dir, First: 1})
			if len(lines) != 1 || len(found.Losses) > 0 {
				t.Fatalf("replayed %v, found %+v", lines, found)
			}
			closeLog(t, l)
		})
	}
}
