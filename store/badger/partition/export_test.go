package partition

import (
	"context"
	"encoding/binary"

	badgerdb "github.com/dgraph-io/badger/v4"

	"github.com/luminate-metrics/luminate/store/series"
	"github.com/luminate-metrics/luminate/tenancy"
)

// EncodeChunk makes the values of a run, one after the other.
func EncodeChunk(run series.Run) (values [][]byte) {
	for len(run) > 0 {
		var value []byte
		value, run = encodeChunk(run)
		values = append(values, value)
	}
	return values
}

// DecodeChunk is what a Cursor does with a value.
func DecodeChunk(value []byte) (series.Run, error) { return decodeChunk(value) }

// Seal adds the checksum.
func Seal(payload []byte) []byte { return seal(payload) }

// ChunkKey is the key of a chunk.
func ChunkKey(tenant tenancy.ID, id ID, sequence uint64, part int) []byte {
	return chunkKey(tenant, id, sequence, part)
}

// RowsKey is the key of a row group.
func RowsKey(tenant tenancy.ID, id ID, first int64, sequence uint64) []byte {
	return rowsKey(tenant, id.group(), first, sequence, 0)
}

// CensusKey is the key of the census of the group of a series.
func CensusKey(tenant tenancy.ID, id ID) []byte { return censusKey(tenant, id.group()) }

// TenantKey is the key of the entry of a tenant.
func TenantKey(tenant tenancy.ID) []byte { return tenantKey(kindTenant, tenant) }

// Pages of the index.
const (
	HeadPage     = 0
	ValuesPage   = 1
	PostingsPage = 2
	LabelsPage   = 3
	HashesPage   = 4
)

// IndexKey is the key of a page of the index.
func IndexKey(tenant tenancy.ID, first ID, kind byte, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(segmentKey(tenant, uint32(first)), kind), number)
}

// Get returns an entry.
func (p *Partition) Get(key []byte) (value []byte, err error) {
	err = p.db.View(func(txn *badgerdb.Txn) error {
		value, err = get(txn, key)
		return err
	})
	return value, err
}

// RecodeCensus decodes and encodes a census.
func RecodeCensus(value []byte) ([]byte, error) {
	c, err := decodeCensus(value)
	if err != nil {
		return nil, err
	}
	return c.encode(), nil
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

// Hold makes p keep at most so many samples.
func (p *Pass) Hold(most int) { p.most = most }

// Held is how many samples p keeps, as it counts them and as they are.
func (p *Pass) Held() (counted, actual int) {
	for _, d := range p.held {
		actual += d.samples
	}
	return p.count, actual
}

// Buffer makes w keep at most so many bytes of samples.
func (w *Writer) Buffer(most int) { w.most = most }
