package remotewrite

import (
	"encoding/binary"
	"math"

	"github.com/luminate-metrics/luminate/internal/metric"
)

// Almost every series of remote write 1.0 came before, with the same labels. A TimeSeries message whose end looks like
// samples is expected to consist of known labels and those samples: it goes into the batch without a look at the labels.
// Some series later the hashes of their labels tell whether that was right. If it was not, the series are decoded anew.

const (
	// block is how many series are looked up together.
	block = 64

	// maxSurprises is after how many wrong expectations the rest of a request is decoded without.
	maxSurprises = 4
)

// expected are the newest series of the batch, as long as nobody knows whether they are right.
type expected struct {
	messages  [block][]byte
	known     [block]bool
	n         int
	surprises int
}

// nextV1 takes in a TimeSeries message.
func (d *decoder) nextV1(msg []byte, origin int) error {
	if d.expect(msg, origin) {
		if d.hold != nil && d.items-d.weighed >= holdEvery {
			d.weighed = d.items
			if err := d.hold.Grow(d.memory()); err != nil {
				return err
			}
		}
		if d.expected.n < block {
			return nil
		}
		return d.confirm()
	}
	if err := d.confirm(); err != nil {
		return err
	}
	return d.seriesV1(msg, origin)
}

// expect adds the series of a TimeSeries message as if its labels were known. It is false if they can't be.
func (d *decoder) expect(msg []byte, origin int) bool {
	if d.known == nil || d.expected.surprises >= maxSurprises {
		return false
	}
	end, count := len(msg), 0
	for start := sampleBefore(msg, end); start >= 0; start = sampleBefore(msg, end) {
		end = start
		count++
	}
	if count == 0 || d.items+1+count > d.maxItems {
		return false
	}
	d.items += 1 + count
	m := d.mark()
	for at := end; at < len(msg); {
		next := at + 2 + int(msg[at+1])
		d.batch.Samples = append(d.batch.Samples, expectedSample(msg[at:next]))
		at = next
	}
	d.startSeries(msg[:end:end], origin, m)
	d.expected.messages[d.expected.n] = msg
	d.expected.n++
	return true
}

// confirm looks up what was expected since the last time.
func (d *decoder) confirm() error {
	e := &d.expected
	if e.n == 0 {
		return nil
	}
	series := d.batch.Series[len(d.batch.Series)-e.n:]
	d.known.Have(series, e.known[:e.n])
	for i := range series {
		if !e.known[i] {
			if !d.rules.Takes(series[i].Labels) {
				return d.surprised(series[i:])
			}
			d.known.Add(series[i].Hash)
		}
		series[i].Vetted = true
	}
	e.n = 0
	return nil
}

// surprised decodes the newest series of the batch anew.
func (d *decoder) surprised(series []metric.Series) error {
	e := &d.expected
	messages := e.messages[e.n-len(series) : e.n]
	e.n = 0
	e.surprises++
	for i := range series {
		d.items -= 1 + series[i].Samples.Len()
	}
	origin := series[0].Origin
	d.batch.Samples = d.batch.Samples[:series[0].Samples.Start]
	d.batch.Series = d.batch.Series[:len(d.batch.Series)-len(series)]
	for i, msg := range messages {
		if err := d.seriesV1(msg, origin+i); err != nil {
			return err
		}
	}
	return nil
}

// The two forms of a Sample field that senders write: a value and a timestamp of six bytes, of the years 1971 to 2109, or the
// timestamp alone, when the value is zero.
const (
	sampleField = 1 + 1 + 1 + 8 + 1 + 6
	zeroField   = 1 + 1 + 1 + 6

	// The last eight bytes of both: any one, the tag of the timestamp, five that go on, one that does not.
	tailMask = 0x80_80_80_80_80_80_ff_00
	tail     = 0x00_80_80_80_80_80_00_00 | (2<<3|wireVarint)<<8
)

// tailTime returns the timestamp in the last eight bytes.
func tailTime(w uint64) int64 {
	w >>= 16
	return int64(w&0x7f | w>>1&(0x7f<<7) | w>>2&(0x7f<<14) | w>>3&(0x7f<<21) | w>>4&(0x7f<<28) | w>>5&(0x7f<<35))
}

// sampleBefore returns where the Sample field of a TimeSeries message starts that ends before end, or -1 if there is none of
// the usual forms.
func sampleBefore(msg []byte, end int) int {
	const (
		tagSample = 2<<3 | wireBytes
		tagValue  = 1<<3 | wireFixed64
	)
	if end < zeroField || binary.LittleEndian.Uint64(msg[end-8:end])&tailMask != tail {
		return -1
	}
	if at := end - sampleField; at >= 0 && msg[at] == tagSample && msg[at+1] == sampleField-2 && msg[at+2] == tagValue {
		return at
	}
	if at := end - zeroField; msg[at] == tagSample && msg[at+1] == zeroField-2 {
		return at
	}
	return -1
}

// expectedSample decodes a Sample field that sampleBefore has found.
func expectedSample(field []byte) metric.Sample {
	s := metric.Sample{Timestamp: tailTime(binary.LittleEndian.Uint64(field[len(field)-8:]))}
	if len(field) == sampleField {
		s.Value = math.Float64frombits(binary.LittleEndian.Uint64(field[3:]))
	}
	return s
}
