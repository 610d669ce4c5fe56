package partition

import (
	"encoding/binary"
	"fmt"
	"sort"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/codec"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Info is what a partition knows about itself.
type Info struct {
	Sequence uint64 // The last flush that was written to it completely.
	Series   uint64 // At least so many series are in it.
	Chunks   uint64 // At least so many values with samples are in it: row groups, and chunks of histograms.
	Short    uint64 // How often a series has a part in a value that a rewrite may join with another one.
}

func (i Info) encode() []byte {
	b := binary.AppendUvarint([]byte{Version}, i.Sequence)
	b = binary.AppendUvarint(b, i.Series)
	b = binary.AppendUvarint(b, i.Chunks)
	return seal(binary.AppendUvarint(b, i.Short))
}

func decodeInfo(value []byte) (Info, error) {
	d, err := opened(value)
	if err != nil {
		return Info{}, err
	}
	i := Info{Sequence: d.Uvarint(), Series: d.Uvarint(), Chunks: d.Uvarint(), Short: d.Uvarint()}
	return i, complete(d)
}

// A tenantEntry is what a partition knows about a tenant.
type tenantEntry struct {
	next     uint64 // No series has this id or a higher one, nor have samples that an interrupted flush left.
	segments []segmentOf
}

// segmentOf is the series of one flush: their ids follow each other.
type segmentOf struct {
	first    uint32
	series   uint32
	sequence uint64
}

func (t *tenantEntry) encode() []byte {
	b := binary.AppendUvarint([]byte{Version}, t.next)
	b = binary.AppendUvarint(b, uint64(len(t.segments)))
	end := uint32(0)
	for _, s := range t.segments {
		b = binary.AppendUvarint(b, uint64(s.first-end))
		b = binary.AppendUvarint(b, uint64(s.series))
		b = binary.AppendUvarint(b, s.sequence)
		end = s.first + s.series
	}
	return seal(b)
}

func decodeTenant(value []byte) (tenantEntry, error) {
	d, err := opened(value)
	if err != nil {
		return tenantEntry{}, err
	}
	t := tenantEntry{next: d.Uvarint()}
	end := uint64(0)
	for range d.Count(3) {
		gap, series, sequence := d.Uvarint(), d.Uvarint(), d.Uvarint()
		if end > t.next || gap > t.next-end || series > t.next-end-gap || t.next > maxID+1 {
			d.Fail()
			break
		}
		t.segments = append(t.segments, segmentOf{uint32(end + gap), uint32(series), sequence})
		end += gap + series
	}
	return t, complete(d)
}

// series is how many series the tenant has.
func (t *tenantEntry) series() (n uint64) {
	for _, s := range t.segments {
		n += uint64(s.series)
	}
	return n
}

// end is the id after the last series.
func (t *tenantEntry) end() uint64 {
	if len(t.segments) == 0 {
		return 0
	}
	last := t.segments[len(t.segments)-1]
	return uint64(last.first) + uint64(last.series)
}

// segment returns the place of the segment that has an id, or -1.
func (t *tenantEntry) segment(id ID) int {
	i := sort.Search(len(t.segments), func(i int) bool { return t.segments[i].first > uint32(id) }) - 1
	if i < 0 || uint32(id)-t.segments[i].first >= t.segments[i].series {
		return -1
	}
	return i
}

// readTenant returns the entry of a tenant; one without series if there is none.
func readTenant(txn *badgerdb.Txn, tenant tenancy.ID) (tenantEntry, error) {
	value, err := get(txn, tenantKey(kindTenant, tenant))
	switch {
	case err != nil:
		return tenantEntry{}, err
	case value != nil:
		return decodeTenant(value)
	}
	// It is written with the first samples. Get tells errors apart from absence, an iterator only finds what is there.
	it := txn.NewIterator(badgerdb.IteratorOptions{Prefix: tenantKey(kindData, tenant)})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		return tenantEntry{}, fmt.Errorf("%w: samples of a tenant without an entry", store.ErrCorrupt)
	}
	return tenantEntry{}, nil
}

func opened(value []byte) (*codec.Decoder, error) {
	payload, err := unseal(value)
	if err != nil {
		return nil, err
	}
	return codec.NewDecoder(payload), nil
}

func complete(d *codec.Decoder) error {
	if d.Err() != nil || d.Len() > 0 {
		return fmt.Errorf("%w: malformed entry", store.ErrCorrupt)
	}
	return nil
}
