package archive

import (
	"io"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Verify reads a whole archive and checks everything in it: the checksums, the order and form of the entries, the counts.
// It needs no store.
func Verify(r io.Reader) (Summary, error) {
	return scan(r, func(*scanner) error { return nil })
}

// A scanner goes through the entries of an archive.
type scanner struct {
	entry

	frames *frameReader
	header Header
	tenant tenancy.ID // The current one; empty between two.
	series []byte     // Canonical labels of the current series; nil before the first.

	labels   labels.Labels // Of the current series.
	last     int64         // Time of the newest sample of the series.
	any      bool          // Whether the series has a sample.
	inWindow bool          // Whether a window of the series was begun, in an increment.
	newest   int64         // That window.
	tenants  int           // How many have begun.
	now, all Counts
}

// scan calls visit with each entry of an archive, once the block that holds it is verified.
func scan(r io.Reader, visit func(*scanner) error) (Summary, error) {
	frames, err := newFrameReader(r)
	if err != nil {
		return Summary{}, err
	}
	defer frames.close()
	s := &scanner{frames: frames}
	if s.header, err = frames.header(); err != nil {
		return Summary{}, err
	}
	for {
		kind, content, err := frames.next()
		if err != nil {
			return s.summary(), err
		}
		switch kind {
		case blockFrame:
			if err := s.block(content, visit); err != nil {
				return s.summary(), err
			}
		case trailerFrame:
			if s.tenant != "" || s.tenants != len(s.header.Tenants) {
				return s.summary(), damaged(frames.at, "the archive ends before its last tenant does")
			}
			sum := s.summary()
			sum.SHA256, err = frames.end(content, s.all)
			return sum, err
		default:
			return s.summary(), damaged(frames.at, "a second header")
		}
	}
}

// summary is what was read so far.
func (s *scanner) summary() Summary {
	c := s.all
	if s.tenant != "" {
		c.add(s.now)
	}
	return Summary{Header: s.header, Counts: c, Bytes: s.frames.offset}
}

func (s *scanner) block(content []byte, visit func(*scanner) error) error {
	d := &decoder{rest: content}
	for len(d.rest) > 0 {
		at := len(content) - len(d.rest)
		s.decode(d)
		if d.failed {
			return damaged(s.frames.at, "the entry at byte %d of the block is malformed", at)
		}
		if wrong := s.follow(); wrong != "" {
			return damaged(s.frames.at, "the entry at byte %d of the block: %s", at, wrong)
		}
		if err := visit(s); err != nil {
			return err
		}
		if s.kind == endEntry {
			s.tenant = ""
		}
	}
	return nil
}

// follow checks that an entry may come after those before it, and returns what is wrong.
func (s *scanner) follow() string {
	if s.kind == tenantEntry {
		return s.beginTenant()
	}
	if s.tenant == "" {
		return "it belongs to no tenant"
	}
	if s.series != nil && (s.kind == metadataEntry || s.kind == exemplarEntry) {
		return "metadata and exemplars come before series"
	}
	switch s.kind {
	case metadataEntry:
		s.now.Metadata++
	case exemplarEntry:
		s.now.Exemplars++
		_, ok := canonical(s.entry.labels)
		if _, ok2 := canonical(s.exemplar.Labels); !ok || !ok2 {
			return "malformed labels of an exemplar"
		}
	case seriesEntry:
		return s.beginSeries()
	case floatsEntry, histogramsEntry:
		return s.samples()
	case windowEntry:
		if s.header.Kind != Incremental || s.series == nil || s.inWindow && s.window <= s.newest {
			return "a window that may not be here"
		}
		s.inWindow, s.newest = true, s.window
	case endEntry:
		if s.now != s.counts {
			return "the tenant has " + s.now.String() + ", it should be " + s.counts.String()
		}
		s.all.add(s.now)
	}
	return ""
}

func (s *scanner) beginTenant() string {
	id, err := tenancy.ParseID(s.name)
	switch {
	case err != nil:
		return err.Error()
	case s.tenant != "":
		return "a tenant begins before the end of another"
	case s.tenants >= len(s.header.Tenants) || s.header.Tenants[s.tenants] != id:
		return "the tenant is not the one that the header names"
	}
	s.tenants++
	s.tenant, s.series, s.now = id, nil, Counts{Tenants: 1}
	return ""
}

func (s *scanner) beginSeries() string {
	ls, ok := canonical(s.entry.labels)
	switch {
	case !ok:
		return "malformed labels of a series"
	case s.series != nil && labels.Compare(s.labels, ls) >= 0:
		return "series are not in the order of their labels"
	}
	s.now.Series++
	s.labels, s.last, s.any, s.inWindow = ls, math.MinInt64, false, false
	s.series = append(s.series[:0], s.entry.labels...)
	if s.series == nil {
		s.series = []byte{} // A series without labels.
	}
	return ""
}

// samples checks that all samples of an entry may come now.
func (s *scanner) samples() string {
	ok := true
	if s.kind == floatsEntry {
		s.now.Samples += int64(len(s.floats))
		for i := range s.floats {
			ok = ok && s.later(s.floats[i].Timestamp)
		}
	} else {
		s.now.Histograms += int64(len(s.histograms))
		for i := range s.histograms {
			ok = ok && s.later(s.histograms[i].Timestamp)
		}
	}
	if !ok {
		return "samples without a series, out of their window, or not in the order of time"
	}
	return ""
}

// later reports whether t may follow in the current series.
func (s *scanner) later(t int64) bool {
	if s.series == nil || s.any && t <= s.last {
		return false
	}
	if s.header.Kind == Incremental && (!s.inWindow || windowOf(t) != s.newest) {
		return false
	}
	s.last, s.any = t, true
	return true
}

// canonical decodes labels that are in the order of their names, without duplicates and empty values.
func canonical(b []byte) (labels.Labels, bool) {
	it, last, first := metric.Labels(b), []byte(nil), true
	for it.Next() {
		if len(it.Value()) == 0 || !first && string(last) >= string(it.Name()) {
			return labels.EmptyLabels(), false
		}
		last, first = it.Name(), false
	}
	if it.Err() != nil {
		return labels.EmptyLabels(), false
	}
	ls, err := metric.DecodeLabels(b)
	return ls, err == nil
}
