package wal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// A Recovery tells what Open found.
type Recovery struct {
	Records int   // How many were applied.
	Torn    int64 // Bytes of a last record that was never acknowledged and was cut off.
	Losses  []Loss
}

// A Loss is a part of the log that can't be read. It may hold acknowledged records.
type Loss struct {
	Segment string // File name; of the segment after the gap if records are missing, "" at the end of the log.
	Offset  int64  // Where the unreadable part begins.
	Bytes   int64  // How long it is; 0 if records are missing without a trace.

	// FirstRecord to LastRecord, both inclusive, are missing. LastRecord is 0 if nothing after them can be read.
	FirstRecord, LastRecord uint64

	Kept  string // File in quarantine that holds the unreadable part; "" if there is none.
	Cause error
}

// recovery is the state of one replay.
type recovery struct {
	Recovery
	opts    Options
	apply   func(*Record) error
	look    bool   // Whether nothing is changed.
	next    uint64 // Number of the record that is expected; 0 before the first one.
	durable uint64 // Number of the record after the last one that is known to have been durable; 0 if it is not known.
	record  Record
}

func (r *recovery) run() error {
	names, err := segmentNames(r.opts.Dir)
	if err != nil {
		return err
	}
	if names, err = r.closeGaps(names); err != nil {
		return err
	}
	last := -1 // The last segment that holds anything: only there a torn record is nobody's loss.
	for i, name := range names {
		info, err := os.Stat(filepath.Join(r.opts.Dir, name))
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			last = i
		}
	}
	for i, name := range names {
		if err := r.segment(name, i == last); err != nil {
			return fmt.Errorf("segment %s: %w", name, err)
		}
	}
	if r.short() {
		r.missing("", 0, r.expected(), r.durable)
	}
	return nil
}

// expected is the number of the first record that was not read.
func (r *recovery) expected() uint64 { return max(r.next, r.opts.First, 1) }

// short reports whether records were durable that were not read up to now.
func (r *recovery) short() bool { return r.expected() < r.durable }

// segmentNames lists the segments in their order.
func segmentNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return names, nil
}

// closeGaps renames segments so that their numbers have no gap, which wlog would not open. What is missing shows in the
// numbers of records.
func (r *recovery) closeGaps(names []string) ([]string, error) {
	if r.look {
		return names, nil // Without wlog there is nobody whom a gap keeps from reading on.
	}
	changed := false
	for i := 1; i < len(names); i++ {
		before, _ := strconv.Atoi(names[i-1])
		want := filepath.Base(wlog.SegmentName(r.opts.Dir, before+1))
		if names[i] == want {
			continue
		}
		r.opts.Logger.Error("A segment of the write-ahead log is missing", slog.String("segment", want), slog.String("next", names[i]))
		if err := os.Rename(filepath.Join(r.opts.Dir, names[i]), filepath.Join(r.opts.Dir, want)); err != nil {
			return nil, err
		}
		names[i], changed = want, true
	}
	if !changed {
		return names, nil
	}
	return names, syncDir(r.opts.Dir)
}

func (r *recovery) segment(name string, last bool) error {
	data, err := os.ReadFile(filepath.Join(r.opts.Dir, name))
	if err != nil {
		return err
	}
	reader := wlog.NewReader(bytes.NewReader(data))
	good := int64(0)
	for reader.Next() && len(reader.Record()) > 0 { // An empty one is the start of a torn one before zeros.
		if err := r.take(name, good, reader.Record()); err != nil {
			return err
		}
		good = reader.Offset()
	}
	rest := data[min(int(good), len(data)):]
	if !slices.ContainsFunc(rest, func(b byte) bool { return b != 0 }) {
		return nil // The rest of a page.
	}
	cause := reader.Err()
	if cause == nil {
		cause = errors.New("the last record is torn")
	}
	if last && !r.short() && !holdsRecord(data, int(good)) {
		r.Torn += int64(len(rest))
		r.opts.Logger.Warn("Cut a torn record off the write-ahead log: it was never acknowledged", slog.String("segment", name), slog.Int64("offset", good), slog.Int("bytes", len(rest)))
		return r.cut(name, good)
	}
	return r.quarantine(name, good, rest, cause)
}

// take applies one record.
func (r *recovery) take(segment string, offset int64, rec []byte) error {
	if err := r.record.Decode(rec); err != nil {
		// Its CRC is right, so this is no damage: refuse rather than lose it.
		return fmt.Errorf("record at offset %d: %w", offset, err)
	}
	n := r.record.Number
	expected := r.next
	if expected == 0 {
		expected = n
		if r.opts.First > 0 {
			expected = min(n, r.opts.First)
		}
	}
	if n != expected {
		r.missing(segment, offset, expected, n)
	}
	r.next = n + 1
	if n < r.opts.First {
		return nil
	}
	if err := r.apply(&r.record); err != nil {
		return fmt.Errorf("record %d: %w", n, err)
	}
	r.Records++
	return nil
}

// missing notes that after the records before expected comes record n.
func (r *recovery) missing(segment string, offset int64, expected, n uint64) {
	if k := len(r.Losses); k > 0 && r.Losses[k-1].LastRecord == 0 && r.Losses[k-1].FirstRecord == expected {
		r.Losses[k-1].LastRecord = n - 1 // That is what the unreadable part held.
		return
	}
	if n <= r.opts.First && expected <= n {
		return // Not needed any more.
	}
	loss := Loss{Segment: segment, Offset: offset, FirstRecord: expected, LastRecord: n - 1, Cause: errors.New("records are missing")}
	r.Losses = append(r.Losses, loss)
	r.opts.Logger.Error("The write-ahead log lacks records", slog.String("segment", segment), slog.Int64("offset", offset), slog.Uint64("first_record", expected), slog.Uint64("last_record", n-1))
}

// quarantine moves the end of a segment away.
func (r *recovery) quarantine(name string, offset int64, rest []byte, cause error) error {
	if r.look {
		r.Losses = append(r.Losses, Loss{Segment: name, Offset: offset, Bytes: int64(len(rest)), FirstRecord: max(r.next, r.opts.First), Cause: cause})
		return nil
	}
	if err := os.MkdirAll(r.opts.Quarantine, 0o750); err != nil {
		return err
	}
	kept := filepath.Join(r.opts.Quarantine, fmt.Sprintf("wal-%s-%d-%d", name, offset, r.opts.Now().UnixNano()))
	if err := writeSynced(kept, rest); err != nil {
		return fmt.Errorf("keep %s: %w", kept, err)
	}
	if err := errors.Join(syncDir(r.opts.Quarantine), r.cut(name, offset)); err != nil {
		return err
	}
	r.Losses = append(r.Losses, Loss{
		Segment: name, Offset: offset, Bytes: int64(len(rest)), FirstRecord: max(r.next, r.opts.First), Kept: kept, Cause: cause,
	})
	r.opts.Logger.Error("The write-ahead log is damaged: acknowledged samples may be lost", slog.String("segment", name), slog.Int64("offset", offset),
		slog.Int("bytes", len(rest)), slog.Uint64("first_record", max(r.next, r.opts.First)), slog.String("kept_in", kept), slog.Any("err", cause))
	return nil
}

// cut shortens a segment.
func (r *recovery) cut(name string, size int64) error {
	if r.look {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(r.opts.Dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // The name is made of numbers.
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
