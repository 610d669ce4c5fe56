package wal

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Types of the parts of a record in wlog.
const (
	partFull   = 1
	partFirst  = 2
	partMiddle = 3
	partLast   = 4
)

// holdsRecord reports whether data, a segment that can't be read on from the given offset, holds a part of a record
// behind the one that stands there. If it does, the one there was not the last: somebody damaged it.
func holdsRecord(data []byte, from int) bool {
	// The parts of the torn record itself may be whole but for the last one.
	at := from
	for {
		at = skipPadding(data, at)
		kind, size, ok := part(data, at)
		if !ok || size == 0 {
			break
		}
		at += headerBytes + size
		if kind == partFull || kind == partLast {
			return true
		}
	}
	for at++; at < len(data); at++ {
		if _, size, ok := part(data, at); ok && size > 0 {
			return true
		}
	}
	return false
}

// skipPadding returns the start of the next page if only zeros are left of that at is in, else at.
func skipPadding(data []byte, at int) int {
	end := min((at/pageBytes+1)*pageBytes, len(data))
	for i := at; i < end; i++ {
		if data[i] != 0 {
			return at
		}
	}
	return end
}

// part decodes the header of a part of a record and checks its CRC.
func part(data []byte, at int) (kind byte, size int, ok bool) {
	left := min(pageBytes-at%pageBytes, len(data)-at)
	if left < headerBytes {
		return 0, 0, false
	}
	kind = data[at]
	size = int(binary.BigEndian.Uint16(data[at+1:]))
	if kind < partFull || kind > partLast || size > left-headerBytes {
		return 0, 0, false
	}
	body := data[at+headerBytes : at+headerBytes+size]
	return kind, size, crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(data[at+3:])
}
