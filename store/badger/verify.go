package badger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/catalog"
	"github.com/luminate-metrics/luminate/store/badger/partition"
	"github.com/luminate-metrics/luminate/store/badger/wal"
)

// A Damage is something in a store's directory that can't be read, or is missing.
type Damage struct {
	File  string      // Or directory, within the store's.
	Range store.Range // Of the samples that may be lost; store.AllTime if it is not known.
	What  string
	Lost  string
}

// String is one line about d.
func (d Damage) String() string {
	when := "of any time"
	if d.Range != store.AllTime() {
		when = fmt.Sprintf("of the time from %d to %d ms", d.Range.Min, d.Range.Max)
	}
	return fmt.Sprintf("%s: %s; lost, %s: %s", d.File, d.What, when, d.Lost)
}

// A Report is what Verify has read.
type Report struct {
	Partitions int
	Records    int   // Of the write-ahead log that are not in partitions yet.
	Torn       int64 // Bytes at the end of the log that were never acknowledged: no damage.
	Damages    int

	partition.Counts
}

// Verify reads all of the store in dir, which nobody may have open, and calls found for each damage. It changes nothing.
// The error is about what kept it from looking.
func Verify(ctx context.Context, dir string, found func(Damage)) (report Report, err error) {
	v := &verifier{dir: dir, found: found}
	if err := v.run(ctx); err != nil {
		return v.report, fmt.Errorf("badger: verify %s: %w", dir, err)
	}
	return v.report, nil
}

type verifier struct {
	dir    string
	found  func(Damage)
	report Report
}

func (v *verifier) damage(d Damage) {
	v.report.Damages++
	v.found(d)
}

func (v *verifier) run(ctx context.Context) error {
	free, err := keepOut(v.dir)
	if err != nil {
		return err
	}
	defer free()
	st, known, err := v.catalog()
	if err != nil {
		return err
	}
	if err := v.partitions(ctx, st, known); err != nil {
		return err
	}
	v.checkpoint(st)
	return v.log(st)
}

// keepOut sees to it that no process has the store open, until free is called.
func keepOut(dir string) (free func(), err error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return func() {}, nil
	case err != nil:
		return nil, err
	}
	free = func() { _ = f.Close() } // It was only read.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		free()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("another process has it open: stop it, or verify a copy")
		}
		return nil, err
	}
	return free, nil
}

// catalog returns what the catalog says; without one that can be read, what is there, and false.
func (v *verifier) catalog() (st catalog.State, known bool, err error) {
	c, err := catalog.Load(v.dir)
	switch {
	case err == nil:
		return c.State(), true, nil
	case errors.Is(err, catalog.ErrMissing):
		if used, err := (&Store{opts: Options{Dir: v.dir}}).inUse(); err != nil || !used {
			return st, false, errors.Join(errors.New("there is no store"), err)
		}
	case !errors.Is(err, catalog.ErrDamaged):
		return st, false, err
	}
	v.damage(Damage{
		File: catalog.Name, Range: store.AllTime(), What: err.Error(),
		Lost: "nothing by itself, but what else is missing can't be told",
	})
	entries, err := v.directories()
	for _, name := range entries {
		p := catalog.Partition{State: catalog.Live}
		if n, err := fmt.Sscanf(name, "%d.%d", &p.Index, &p.Number); n == 2 && err == nil {
			st.Partitions = append(st.Partitions, p)
		}
	}
	return st, false, err
}

// directories lists what stands among the partitions, apart from what is being removed.
func (v *verifier) directories() (out []string, err error) {
	entries, err := os.ReadDir(filepath.Join(v.dir, partitionsDir))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".dropped") {
			out = append(out, e.Name())
		}
	}
	return out, ignoreMissing(err)
}

func (v *verifier) partitions(ctx context.Context, st catalog.State, known bool) error {
	listed := map[string]bool{}
	s := &Store{opts: Options{Dir: v.dir}}
	for _, p := range st.Partitions {
		path := s.partitionPath(p.Index, p.Number)
		listed[filepath.Base(path)] = true
		if p.State != catalog.Live {
			continue // What is in it is elsewhere, or nowhere any more.
		}
		in := store.AllTime()
		if known && st.PartitionWidth > 0 {
			in = rangeOf(p.Index, st.PartitionWidth)
		}
		if err := v.partition(ctx, p, path, in); err != nil {
			return err
		}
	}
	names, err := v.directories()
	for _, name := range names {
		if !listed[name] {
			v.damage(Damage{
				File: filepath.Join(partitionsDir, name), Range: store.AllTime(), What: "the catalog does not know it",
				Lost: "whatever it holds: the server moves it to " + quarantineDir,
			})
		}
	}
	return err
}

func (v *verifier) partition(ctx context.Context, p catalog.Partition, path string, in store.Range) error {
	v.report.Partitions++
	file := filepath.Join(partitionsDir, filepath.Base(path))
	err := partition.Check(path, p.Clean, p.Tables)
	if err == nil {
		var counts partition.Counts
		counts, err = partition.Inspect(ctx, partition.Options{
			Dir: path, Expect: partition.Info{Sequence: p.Sequence, Series: p.Series, Chunks: p.Chunks},
		}, func(d partition.Damage) {
			if d.Tenant != "" {
				d.What = fmt.Sprintf("tenant %s: %s", d.Tenant, d.What)
			}
			v.damage(Damage{File: file, Range: in, What: d.What, Lost: d.Lost})
		})
		v.report.Series += counts.Series
		v.report.Chunks += counts.Chunks
		v.report.Samples += counts.Samples
	}
	if errors.Is(err, store.ErrCorrupt) {
		v.damage(Damage{File: file, Range: in, What: err.Error(), Lost: fmt.Sprintf("up to %d series with %d chunks", p.Series, p.Chunks)})
		return nil
	}
	return err
}

func (v *verifier) checkpoint(st catalog.State) {
	if st.Checkpoint == "" {
		return
	}
	if _, err := catalog.ReadCheckpoint(filepath.Join(v.dir, st.Checkpoint)); err != nil {
		v.damage(Damage{
			File: st.Checkpoint, Range: store.AllTime(), What: err.Error(),
			Lost: "exemplars and metadata; what was deleted and not reclaimed comes back",
		})
	}
}

func (v *verifier) log(st catalog.State) error {
	found, err := wal.Inspect(wal.Options{Dir: filepath.Join(v.dir, logDir), First: st.FirstRecord})
	v.report.Records, v.report.Torn = found.Records, found.Torn
	for _, l := range found.Losses {
		lost := fmt.Sprintf("all records from %d on that are in this file", l.FirstRecord)
		if l.LastRecord >= l.FirstRecord {
			lost = fmt.Sprintf("the records %d to %d", l.FirstRecord, l.LastRecord)
		}
		what := fmt.Sprintf("at offset %d: %v", l.Offset, l.Cause)
		if l.Bytes > 0 {
			what = fmt.Sprintf("%d bytes at offset %d: %v", l.Bytes, l.Offset, l.Cause)
		}
		v.damage(Damage{File: filepath.Join(logDir, l.Segment), Range: store.AllTime(), What: what, Lost: lost})
	}
	if errors.Is(err, os.ErrNotExist) {
		v.damage(Damage{File: logDir, Range: store.AllTime(), What: "it is missing", Lost: "the newest samples"})
		return nil
	}
	return err
}
