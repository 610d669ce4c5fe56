package catalog_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/luminate-metrics/luminate/store/badger/catalog"
)

// FuzzCheckpoint decodes anything without a panic or an endless loop. The checksum is made right, or nothing would be met.
func FuzzCheckpoint(f *testing.F) {
	seed := checkpoint().Encode()
	f.Add(seed[:len(seed)-4])
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
		c, err := catalog.DecodeCheckpoint(binary.LittleEndian.AppendUint32(append([]byte(nil), body...), sum))
		if err != nil {
			if !errors.Is(err, catalog.ErrDamaged) && !errors.Is(err, catalog.ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		again, err := catalog.DecodeCheckpoint(c.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.Encode(), again.Encode()); diff != "" {
			t.Fatal(diff)
		}
	})
}
