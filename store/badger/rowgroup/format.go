// Package rowgroup is the sealed form of samples on disk: one value for up to 64 neighbouring series and one span of time.
//
// Timestamps are stored once for all series that have them in common, samples as bit-packed integer columns with
// exceptions. What comes back is what went in, bit for bit. docs/architecture/formats/row-group.md draws the bytes.
package rowgroup

import (
	"errors"
	"hash/crc32"
)

// Limits of one row group.
const (
	// MaxMembers is the number of series that a group has room for.
	MaxMembers = 64
	// MaxSamples is the number of samples that one member may have.
	MaxSamples = 480
)

// Version is the version of the format that Encode writes, and the only one that Open reads.
const Version = 1

var (
	// ErrCorrupt reports bytes that are no row group or a damaged one.
	ErrCorrupt = errors.New("rowgroup: damaged row group")
	// ErrVersion reports a row group that another version of the program wrote.
	ErrVersion = errors.New("rowgroup: unknown version of the format")
	// ErrInvalid reports a group that can't be encoded.
	ErrInvalid = errors.New("rowgroup: group can't be encoded")
)

// A Column is the samples of one series.
type Column struct {
	// Timestamps are milliseconds since the Unix epoch, strictly ascending. Any 64-bit numbers will do.
	Timestamps []int64
	// Values are as many as Timestamps.
	Values []float64
	// Starts are the start timestamps of the samples, as many as Timestamps, or nil if none is known.
	Starts []int64
}

// A Group is the samples of up to MaxMembers neighbouring series, each at its place. A column without timestamps is an
// absent member.
type Group [MaxMembers]Column

// Layout of the part with fixed places.
const (
	versionAt  = 4
	flagsAt    = 5
	longestAt  = 6 // Samples of the longest timestamp column, 2 bytes.
	membersAt  = 8 // Bit i: member i is present.
	fixedBytes = 16
	// spareBytes of zeroes end the value, so that eight bytes may be loaded wherever packed bits begin.
	spareBytes = 8

	flagStarts = 1 << 0 // Some member has start timestamps.
	knownFlags = flagStarts
)

// Modes of a column, bits 0-2 of its first byte.
const (
	modeConstant    = iota // m = first
	modeProgression        // m[i] = first + i*base
	modeBase               // m[i] = base + divisor*packed[i]
	modeDelta              // m[i] = m[i-1] + base + divisor*packed[i-1]
	modeBefore             // As delta, on top of the change of the column before.
	modeSplit              // The high bits of the floats packed with a base, the low bits packed as they are.
	modeRaw                // Eight bytes a value.
	modeCorrected          // Packed corrections in units of the last place, then a column of the modes 0 to 4.
)

// The other bits of a column's first byte.
const (
	modeMask       = 7
	flagExceptions = 1 << 3
	flagDivisor    = 1 << 4
	flagSpecials   = 1 << 5
)

const (
	// maxWidth is the widest packed integer that one load of eight bytes at any bit offset covers.
	maxWidth = 56
	// noWidth marks a plan for integers that no allowed width can hold.
	noWidth = 64
	// maxChain is the number of columns that the read of one member decodes at most.
	maxChain = 16
	// bitsExponent is the decimal exponent that means: the integers are the bits of the floats.
	bitsExponent = 15
)

// Kinds of a timeline, bits 6-7 of its first byte; bits 0-5 are the number of its members less one.
const (
	wholeNext    = iota << 6 // All of the next timestamp column that no timeline has used yet.
	wholeEarlier             // All of a column that is named.
	someRuns                 // A part of a named column: runs that are left out and taken in turn.
	someBits                 // A part of a named column: a bit for each timestamp.
	kindMask     = 3 << 6
	runMask      = 1<<6 - 1
)

// Kinds of a run of start timestamps, at the same bits.
const (
	startsNone   = 0 << 6
	startsColumn = 1 << 6
)

// Special floats with a code of their own, by their bits. Code 0 means that the eight bytes follow.
var specialCodes = [...]uint64{
	1: 0x7ff0000000000002, // Stale marker.
	2: 0x7ff8000000000001, // NaN as Go and Prometheus write it.
	3: 0x7ff0000000000000, // +Inf
	4: 0xfff0000000000000, // -Inf
	5: 0x8000000000000000, // -0
	6: 0x7ff8000000000000, // NaN as C programs write it.
	7: 0xfff8000000000000, // NaN as x86 computes it.
}

// powers are the divisors of the decimal exponents. A division by one of them is exact where a multiplication by its
// inverse is not.
var powers = [bitsExponent]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14}

func checksum(value []byte) uint32 {
	return crc32.Checksum(value[versionAt:], crc32.MakeTable(crc32.Castagnoli))
}

func zigzag(x int64) uint64   { return uint64(x<<1) ^ uint64(x>>63) }
func unzigzag(x uint64) int64 { return int64(x>>1) ^ -int64(x&1) }
