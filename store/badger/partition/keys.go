package partition

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/luminate-metrics/luminate/tenancy"
)

// The first byte of a key says what the entry is.
const (
	kindInfo     = 'i' // The partition: one entry.
	kindTenant   = 't' // tenant
	kindSeries   = 's' // tenant, id -> labels
	kindData     = 'd' // tenant, id, then 0 -> census of the series; or 1, sequence, part -> chunk
	kindName     = 'n' // tenant, label name
	kindValue    = 'v' // tenant, label name, label value
	kindPostings = 'p' // tenant, label name, label value, id
)

const (
	dataCensus = 0
	dataChunk  = 1

	sequenceBytes = 8
	partBytes     = 4
)

// An ID identifies a series within its tenant: the first half of the SHA-256 of its canonical labels.
type ID [16]byte

// IDOf returns the id of the series with the given canonical labels.
func IDOf(canonical []byte) ID {
	sum := sha256.Sum256(canonical)
	return ID(sum[:len(ID{})])
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

func seriesKey(kind byte, tenant tenancy.ID, id ID) []byte {
	return append(tenantKey(kind, tenant), id[:]...)
}

func censusKey(tenant tenancy.ID, id ID) []byte {
	return append(seriesKey(kindData, tenant, id), dataCensus)
}

func chunkKey(tenant tenancy.ID, id ID, sequence uint64, part int) []byte {
	key := append(seriesKey(kindData, tenant, id), dataChunk)
	key = binary.BigEndian.AppendUint64(key, sequence)
	return binary.BigEndian.AppendUint32(key, uint32(part))
}

// chunkSequence returns the flush that wrote a chunk, from the part of its key behind the series id.
func chunkSequence(rest []byte) (uint64, bool) {
	if len(rest) != 1+sequenceBytes+partBytes || rest[0] != dataChunk {
		return 0, false
	}
	return binary.BigEndian.Uint64(rest[1:]), true
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
