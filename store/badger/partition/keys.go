package partition

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/tenancy"
)

// The first byte of a key says what the entry is.
const (
	kindInfo     = 'i' // The partition: one entry.
	kindTenant   = 't' // tenant
	kindSeries   = 's' // tenant, id -> labels
	kindData     = 'd' // tenant, group, then the rest below
	kindName     = 'n' // tenant, label name
	kindValue    = 'v' // tenant, label name, label value
	kindPostings = 'p' // tenant, label name, label value, id
)

// What follows on the group in the key of data.
const (
	dataCensus = 0 // Census of the group.
	dataRows   = 1 // first timestamp, sequence -> row group
	dataChunk  = 2 // member, sequence, part -> chunk of histograms

	groupBytes = 4
	rowsBytes  = 1 + 8 + 8
	chunkBytes = 1 + 1 + 8 + 4
)

// An ID is the number of a series within its tenant and partition. Ids are given in the order in which the series arrive,
// so that those of one target are neighbours. 64 of them in a row are a group.
type ID uint32

const idBytes = 4

// maxID leaves room above, so that the id after the last one is a number too.
const maxID = math.MaxUint32 - 1

func (id ID) group() uint32 { return uint32(id) / rowgroup.MaxMembers }
func (id ID) member() int   { return int(id) % rowgroup.MaxMembers }

// identity stands for the labels of a series: the first half of the SHA-256 of their canonical form.
type identity [16]byte

func identityOf(canonical []byte) identity {
	sum := sha256.Sum256(canonical)
	return identity(sum[:len(identity{})])
}

// appendTenant appends the tenant with its length before it, so that no tenant's keys are a prefix of another's.
func appendTenant(dst []byte, id tenancy.ID) []byte {
	dst = append(dst, byte(len(id)))
	return append(dst, id...)
}

// A text that is longer than mostText stands in keys as its beginning and a hash of all of it.
const (
	mostText  = 512
	shortText = 480
	shortened = math.MaxUint16
)

// appendText appends a label name or value with its length before it.
func appendText(dst []byte, s string) []byte {
	if len(s) <= mostText {
		return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
	}
	dst = binary.BigEndian.AppendUint16(dst, shortened)
	dst = append(dst, s[:shortText]...)
	sum := sha256.Sum256([]byte(s))
	return append(dst, sum[:]...)
}

// textIn returns the text that key is, unless it was shortened: then it is the entry's value.
func textIn(key, value []byte) (string, bool) {
	if len(key) < 2 {
		return "", false
	}
	switch n := binary.BigEndian.Uint16(key); {
	case n == shortened:
		return string(value), len(value) > mostText
	case int(n) == len(key)-2:
		return string(key[2:]), true
	default:
		return "", false
	}
}

// textValue is the value of an entry whose key ends with s.
func textValue(s string) []byte {
	if len(s) <= mostText {
		return nil
	}
	return []byte(s)
}

func tenantKey(kind byte, tenant tenancy.ID) []byte {
	return appendTenant([]byte{kind}, tenant)
}

func seriesKey(tenant tenancy.ID, id ID) []byte {
	return binary.BigEndian.AppendUint32(tenantKey(kindSeries, tenant), uint32(id))
}

// idIn returns the id that key is.
func idIn(key []byte) (ID, bool) {
	if len(key) != idBytes {
		return 0, false
	}
	return ID(binary.BigEndian.Uint32(key)), true
}

// groupKey is the start of the keys of a group's data.
func groupKey(tenant tenancy.ID, group uint32) []byte {
	return binary.BigEndian.AppendUint32(tenantKey(kindData, tenant), group)
}

func censusKey(tenant tenancy.ID, group uint32) []byte {
	return append(groupKey(tenant, group), dataCensus)
}

// rowsKey is the key of the samples of a group from a time on. Within a group they are in the order of that time.
func rowsKey(tenant tenancy.ID, group uint32, first int64, sequence uint64) []byte {
	key := append(groupKey(tenant, group), dataRows)
	key = binary.BigEndian.AppendUint64(key, uint64(first)^1<<63)
	return binary.BigEndian.AppendUint64(key, sequence)
}

func chunkKey(tenant tenancy.ID, id ID, sequence uint64, part int) []byte {
	key := append(groupKey(tenant, id.group()), dataChunk, byte(id.member()))
	key = binary.BigEndian.AppendUint64(key, sequence)
	return binary.BigEndian.AppendUint32(key, uint32(part))
}

// A place is what the key of a group's data says, from the part behind the group.
type place struct {
	kind     byte
	first    int64 // Of rows.
	member   int   // Of a chunk.
	sequence uint64
}

func placeIn(rest []byte) (p place, ok bool) {
	switch {
	case len(rest) == rowsBytes && rest[0] == dataRows:
		first := int64(binary.BigEndian.Uint64(rest[1:]) ^ 1<<63)
		return place{kind: dataRows, first: first, sequence: binary.BigEndian.Uint64(rest[9:])}, true
	case len(rest) == chunkBytes && rest[0] == dataChunk && int(rest[1]) < rowgroup.MaxMembers:
		return place{kind: dataChunk, member: int(rest[1]), sequence: binary.BigEndian.Uint64(rest[2:])}, true
	default:
		return place{}, false
	}
}

func nameKey(tenant tenancy.ID, name string) []byte {
	return appendText(tenantKey(kindName, tenant), name)
}

// pairPrefix is the start of the entries of one label name.
func pairPrefix(kind byte, tenant tenancy.ID, name string) []byte {
	return appendText(tenantKey(kind, tenant), name)
}

func pairKey(kind byte, tenant tenancy.ID, name, value string) []byte {
	return appendText(pairPrefix(kind, tenant, name), value)
}
