package partition

import (
	"context"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// EncodeChunk makes the values of a run, one after the other.
func EncodeChunk(run series.Run) (values [][]byte, err error) {
	for len(run) > 0 {
		var value []byte
		if value, run, err = encodeChunk(run); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// DecodeChunk is what a Cursor does with a value.
func DecodeChunk(value []byte) (series.Run, error) { return decodeChunk(value) }

// Seal adds the checksum.
func Seal(payload []byte) []byte { return seal(payload) }

// ChunkKey is the key of a chunk.
func ChunkKey(tenant tenancy.ID, id ID, sequence uint64, part int) []byte {
	return chunkKey(tenant, id, sequence, part)
}

// PairKey is the key of a label value in the index.
func PairKey(tenant tenancy.ID, name, value string) []byte {
	return pairKey(kindValue, tenant, name, value)
}

// Delete removes an entry behind the partition's back.
func (p *Partition) Delete(key []byte) error {
	return p.db.Update(func(txn *badgerdb.Txn) error { return txn.Delete(key) })
}

// Set writes an entry behind the partition's back.
func (p *Partition) Set(key, value []byte) error {
	return p.db.Update(func(txn *badgerdb.Txn) error { return txn.Set(key, value) })
}

// Entries calls f for each entry, in the order of keys.
func (p *Partition) Entries(ctx context.Context, f func(key, value []byte) error) error {
	return p.db.View(func(txn *badgerdb.Txn) error { return scan(ctx, txn, nil, f) })
}
