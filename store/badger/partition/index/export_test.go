package index

import "github.com/klauspost/compress/zstd"

// Seal makes a page of bytes that nothing was checked of.
func Seal(key, raw []byte) []byte { return seal(key, raw, nil) }

// Unseal returns what a page holds.
func Unseal(key, value []byte, decoder *zstd.Decoder) ([]byte, error) {
	return unseal(nil, key, value, decoder)
}
