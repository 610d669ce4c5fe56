package native_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/store"
)

// dump lists the samples of a reader, one "labels timestamp value" a line, in label order.
func dump(t *testing.T, rd store.Reader) string {
	t.Helper()
	var out strings.Builder
	set := rd.Select(context.Background(), store.Selection{Sorted: true})
	var it chunkenc.Iterator
	for set.Next() {
		s := set.At()
		it = s.Iterator(it)
		for it.Next() == chunkenc.ValFloat {
			ts, v := it.At()
			fmt.Fprintf(&out, "%s %d %v\n", s.Labels(), ts, v)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return out.String()
}
