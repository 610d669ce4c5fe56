package remotewrite

import (
	"math/rand/v2"
	"testing"

	"github.com/gogo/protobuf/proto"
)

// FuzzDecodeV1 compares the decoder with the generated one on any bytes, and applies the rules to what comes out.
func FuzzDecodeV1(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(4, 4))}
	for range 30 {
		body, err := proto.Marshal(g.requestV1())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, body := range wireSeeds {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		compareV1(t, body)
		d := newDecoder()
		if d.decodeV1(body) == nil {
			applyRules(d)
		}
	})
}

// FuzzDecodeV2 compares the decoder with the generated one on any bytes, and applies the rules to what comes out.
func FuzzDecodeV2(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(5, 5))}
	for range 30 {
		body, err := proto.Marshal(g.requestV2())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, body := range wireSeeds {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		compareV2(t, body)
		d := newDecoder()
		if d.decodeV2(body) == nil {
			applyRules(d)
		}
	})
}

// wireSeeds hold what encoders do not write: long varints, groups, wrong types, fields in pieces, lengths that lie.
var wireSeeds = []string{
	"",
	"\x0a\x00",
	"\x2a\x00",
	"\x22\x00\x2a\x02\x0a\x00",
	"\x0a\x84\x00\x12\x02\x10\x01",           // A length longer than it need be.
	"\x0a\x09\x0a\x86\x00\x0a\x01a\x12\x01b", // A label with such a length.
	"\x0a\x07\x0a\x05\x0a\x01a\x12\x00",      // A label of which the empty value is written out.
	"\x0a\x07\x0a\x05\x0a\x00\x12\x01b",      // A label of which the empty name is written out.
	"\x0a\x0a\x0a\x08\x0a\x01a\x12\x01b\x0a\x00",   // The name comes twice.
	"\x0a\x0b\x0a\x09\x12\x01b\x0a\x01a\x18\x05",   // The value first, an unknown field.
	"\x0a\x08\x12\x06\x10\x01\x1b\x08\x01\x1c",     // A group.
	"\x1b\x1b\x1c\x1c",                             // Nested groups.
	"\x1c",                                         // The end of none.
	"\x08\x01",                                     // A wrong wire type.
	"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // A length beyond the end.
	"\x0a\x0d\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", // Ten bytes with bits that are cut.
	"\x82\x80\x80\x80\x80\x80\x02\x00",                             // A field number that is cut to 32 bits.
	"\x22\x00\x22\x01a\x2a\x07\x0a\x02\x81\x00\x12\x01\x10",        // A varint that reaches out of its packed field.
	"\x22\x00\x2a\x06\x30\x05\x12\x02\x10\x07",                     // A start timestamp in the form of early senders.
	"\x2a\x06\x08\x01\x08\x02\x12\x00\x22\x00\x22\x01a\x22\x01b",   // Symbols last, unpacked references.
}
