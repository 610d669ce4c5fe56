package remoteread

import (
	"testing"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// FuzzDecode stands inside the package since only the handler takes requests apart. Whatever bytes come, the request is
// understood or the client is told that it is bad.
func FuzzDecode(f *testing.F) {
	for _, req := range []*prompb.ReadRequest{
		{},
		{Queries: []*prompb.Query{{}, {StartTimestampMs: -1, EndTimestampMs: 1, Hints: &prompb.ReadHints{Func: "rate"}}}},
		{
			AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{7, prompb.ReadRequest_STREAMED_XOR_CHUNKS},
			Queries: []*prompb.Query{{Matchers: []*prompb.LabelMatcher{
				{Type: prompb.LabelMatcher_EQ, Name: "a", Value: "b"}, {Type: prompb.LabelMatcher_RE, Name: "a", Value: "(x|y).*"}, {Type: prompb.LabelMatcher_NRE, Value: "("}, {Type: 9},
			}}},
		},
	} {
		b, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	f.Add([]byte("rubbish"), true)
	f.Add([]byte("\xff\xff\xff\xff\x0f\x00"), false)
	api := New(Options{MaxRequest: 1 << 16})
	f.Fuzz(func(t *testing.T, body []byte, compress bool) {
		if compress {
			body = snappy.Encode(nil, body)
		}
		req, err := api.decode(body)
		switch {
		case err != nil && problem.KindOf(err) != problem.Invalid:
			t.Errorf("%v is not told to be the client's fault", err)
		case err == nil && req.form != samples && req.form != chunks:
			t.Error("no response type was chosen")
		}
	})
}
