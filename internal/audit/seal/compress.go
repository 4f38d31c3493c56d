package seal

import (
	_ "embed" // for the dictionary
	"sync"

	"github.com/klauspost/compress/zstd"
)

// dictionary1 is the zstd dictionary of canonical forms. It must never change, because stored forms cannot be read
// without it.
//
//go:embed canon1.dict
var dictionary1 []byte

// encoder compresses canonical forms. The fastest level without entropy coding takes a quarter of the default level's time
// and costs 2% in size: most of the compression comes from the dictionary. Seals hash the uncompressed form, so the level
// never affects them.
var encoder = sync.OnceValue(func() *zstd.Encoder { // many commands do not seal
	e, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(1, dictionary1), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithNoEntropyCompression(true), zstd.WithWindowSize(1<<16))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
})

// decompressor decompresses canonical forms.
type decompressor struct {
	d   *zstd.Decoder
	buf []byte
}

// maxCanon limits the memory for an uncompressed form. jsonb values are at most 256 MiB.
const maxCanon = 1 << 29

func newDecompressor() (*decompressor, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(1, dictionary1), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxCanon),
		zstd.WithDecodeAllCapLimit(true))
	return &decompressor{d: d}, err
}

// decompress decompresses a stored form. The result is valid until the next call. A result over limit bytes is an
// error.
func (u *decompressor) decompress(stored []byte, limit int) ([]byte, error) {
	if cap(u.buf) < limit {
		u.buf = make([]byte, 0, limit+limit/4) // slack, since the lengths of rows vary
	}
	return u.d.DecodeAll(stored, u.buf[:0:limit])
}

func (u *decompressor) close() { u.d.Close() }
