package partition

import (
	"encoding/binary"
	"math"

	"github.com/luminate-metrics/luminate/store/badger/rowgroup"
	"github.com/luminate-metrics/luminate/tenancy"
)

// The first byte of a key says what the entry is.
const (
	kindInfo   = 'i' // The partition: one entry.
	kindTenant = 't' // tenant
	kindData   = 'd' // tenant, group, then the rest below
	kindIndex  = 'x' // tenant, first id of a segment, then as package index has it
)

// What follows on the group in the key of data.
const (
	dataCensus = 0 // Census of the group.
	dataRows   = 1 // first timestamp, sequence, part -> row group
	dataChunk  = 2 // member, sequence, part -> chunk of histograms

	groupBytes = 4
	rowsBytes  = 1 + 8 + 8 + 1
	chunkBytes = 1 + 1 + 8 + 4
)

// An ID is the number of a series within its tenant and partition. Ids are given in the order in which the series arrive,
// so that those of one target are neighbours. 64 of them in a row are a group.
type ID uint32

// maxID leaves room above, so that the id after the last one is a number too.
const maxID = math.MaxUint32 - 1

func (id ID) group() uint32 { return uint32(id) / rowgroup.MaxMembers }
func (id ID) member() int   { return int(id) % rowgroup.MaxMembers }

// appendTenant appends the tenant with its length before it, so that no tenant's keys are a prefix of another's.
func appendTenant(dst []byte, id tenancy.ID) []byte {
	dst = append(dst, byte(len(id)))
	return append(dst, id...)
}

func tenantKey(kind byte, tenant tenancy.ID) []byte {
	return appendTenant([]byte{kind}, tenant)
}

// segmentKey is the start of the keys of a segment of the index.
func segmentKey(tenant tenancy.ID, first uint32) []byte {
	return binary.BigEndian.AppendUint32(tenantKey(kindIndex, tenant), first)
}

// groupKey is the start of the keys of a group's data.
func groupKey(tenant tenancy.ID, group uint32) []byte {
	return binary.BigEndian.AppendUint32(tenantKey(kindData, tenant), group)
}

func censusKey(tenant tenancy.ID, group uint32) []byte {
	return append(groupKey(tenant, group), dataCensus)
}

// rowsKey is the key of the samples of a group from a time on. Within a group they are in the order of that time. The part
// tells apart what one flush wrote of a group at different times.
func rowsKey(tenant tenancy.ID, group uint32, first int64, sequence uint64, part uint8) []byte {
	key := append(groupKey(tenant, group), dataRows)
	key = binary.BigEndian.AppendUint64(key, uint64(first)^1<<63)
	return append(binary.BigEndian.AppendUint64(key, sequence), part)
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
