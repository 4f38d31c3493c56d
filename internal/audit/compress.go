package audit

import (
	_ "embed" // for the dictionary
	"sync"

	"github.com/klauspost/compress/zstd"
)

// dictionary1 is what canonical forms of version 1 have in common. It is part of the format: stored
// forms can be read with these bytes alone, so they never change.
//
//go:embed canon1.dict
var dictionary1 []byte

// packer compresses canonical forms, which are long and alike, for the table. Hashes are over what was
// packed, so that how well it was packed is nobody's concern.
type packer struct{ e *zstd.Encoder }

// packers are made where one is needed: not every command seals. The fastest level without entropy coding
// takes a quarter of the default's time for two bytes in a hundred: what packs a form is the dictionary, and tables of
// codes that are made for a few hundred bytes cost more than they save.
var packers = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(1, dictionary1), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithNoEntropyCompression(true), zstd.WithWindowSize(1<<16))
	if err != nil {
		panic(err) // the options are constants
	}
	return &packer{e}
}}

// pack appends the packed form to b.
func (p *packer) pack(b, canon []byte) []byte { return p.e.EncodeAll(canon, b) }

// unpacker decompresses what a packer made.
type unpacker struct {
	d   *zstd.Decoder
	buf []byte
}

// maxCanon bounds what an unpacked form takes of memory: jsonb holds no more than 256 MiB.
const maxCanon = 1 << 29

func newUnpacker() (*unpacker, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(1, dictionary1), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxCanon),
		zstd.WithDecodeAllCapLimit(true))
	return &unpacker{d: d}, err
}

// unpack decompresses a stored form. The result is valid until the next call. More than limit bytes are an error.
func (u *unpacker) unpack(stored []byte, limit int) ([]byte, error) {
	if cap(u.buf) < limit {
		u.buf = make([]byte, 0, limit+limit/4) // rows differ a little in length
	}
	return u.d.DecodeAll(stored, u.buf[:0:limit])
}

func (u *unpacker) close() { u.d.Close() }
