package cli

import (
	"bytes"
	"compress/gzip"
	"crypto/md5" //nolint:gosec // of old packages
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Tags of a package's header: https://rpm-software-management.github.io/rpm/manual/tags.html
const (
	rpmName       = 1000
	rpmVersion    = 1001
	rpmRelease    = 1002
	rpmArch       = 1022
	rpmPostIn     = 1024
	rpmPostUn     = 1026
	rpmDigests    = 1035
	rpmOwners     = 1039
	rpmDirIndexes = 1116
	rpmBaseNames  = 1117
	rpmDirNames   = 1118
	rpmCompressor = 1125
)

// rpmHeader holds the values of a header by tag.
type rpmHeader map[uint32][]string

// readRPMHeader reads a header structure: an index of tags and the values. Numbers become decimal strings.
func readRPMHeader(t *testing.T, r *bytes.Reader) rpmHeader {
	t.Helper()
	var intro struct {
		Magic, Reserved uint32
		Entries, Size   uint32
	}
	read := func(into any) {
		t.Helper()
		if err := binary.Read(r, binary.BigEndian, into); err != nil {
			t.Fatal(err)
		}
	}
	read(&intro)
	if intro.Magic != 0x8eade801 {
		t.Fatalf("no header: %x", intro.Magic)
	}
	index := make([]struct{ Tag, Type, Offset, Count uint32 }, intro.Entries)
	read(index)
	store := make([]byte, intro.Size)
	read(store)
	h := rpmHeader{}
	for _, e := range index {
		data := store[e.Offset:]
		for range e.Count {
			switch e.Type {
			case 3: // int16
				h[e.Tag] = append(h[e.Tag], strconv.Itoa(int(binary.BigEndian.Uint16(data))))
				data = data[2:]
			case 4: // int32
				h[e.Tag] = append(h[e.Tag], strconv.Itoa(int(binary.BigEndian.Uint32(data))))
				data = data[4:]
			case 6, 8, 9: // text, list of texts, translated text
				text, rest, _ := bytes.Cut(data, []byte{0})
				h[e.Tag] = append(h[e.Tag], string(text))
				data = rest
			}
		}
	}
	return h
}

// files returns the paths of the package's files.
func (h rpmHeader) files(t *testing.T) (paths []string) {
	t.Helper()
	for i, base := range h[rpmBaseNames] {
		dir, err := strconv.Atoi(h[rpmDirIndexes][i])
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, h[rpmDirNames][dir]+base)
	}
	return paths
}

// readRPM returns the header of a package, and the contents of its files by path.
func readRPM(t *testing.T, file string) (rpmHeader, map[string][]byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const lead = 96
	r := bytes.NewReader(data[lead:])
	readRPMHeader(t, r) // of the signature
	for ; r.Len()%8 != (len(data)-lead)%8; _, _ = r.ReadByte() {
	}
	h := readRPMHeader(t, r)
	var payload io.Reader
	switch compressor := strings.Join(h[rpmCompressor], ""); compressor {
	case "gzip":
		payload, err = gzip.NewReader(r)
	case "zstd":
		payload, err = zstd.NewReader(r)
	default:
		t.Fatalf("compressor %q", compressor)
	}
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(payload)
	if err != nil {
		t.Fatal(err)
	}
	return h, readCPIO(t, archive)
}

// readCPIO returns the contents of an archive of the form newc.
func readCPIO(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	at := 0
	take := func(n int) []byte {
		part := archive[at : at+n]
		at = (at + n + 3) / 4 * 4
		return part
	}
	for {
		const fields = 110 // 6 digits of magic, 13 numbers of 8 digits
		head := string(archive[at : at+fields])
		number := func(i int) int {
			n, err := strconv.ParseUint(head[6+8*i:14+8*i], 16, 32)
			if err != nil || !strings.HasPrefix(head, "07070") {
				t.Fatalf("not an entry of cpio: %q, %v", head, err)
			}
			return int(n)
		}
		size, nameSize := number(6), number(11)
		name := strings.TrimRight(string(take(fields + nameSize)[fields:]), "\x00")
		if name == "TRAILER!!!" {
			return files
		}
		files["/"+strings.TrimLeft(name, "./")] = take(size)
	}
}

// checkRPM checks the fields, the scriptlets and the files of a package. Each file has the digest of the header.
func checkRPM(t *testing.T, file, arch string, want []string) {
	t.Helper()
	h, files := readRPM(t, file)
	reload, err := os.ReadFile("../../packaging/reload.sh")
	if err != nil {
		t.Fatal(err)
	}
	for tag, value := range map[uint32]string{
		rpmName: "cxgctl", rpmVersion: "1.2.3+4.gabcdef0", rpmRelease: "1", rpmArch: arch,
		rpmPostIn: string(reload), rpmPostUn: string(reload),
	} {
		if got := strings.Join(h[tag], ","); strings.TrimSpace(got) != strings.TrimSpace(value) {
			t.Errorf("%s: tag %d is %q, want %q", file, tag, got, value)
		}
	}
	paths := h.files(t)
	for i, path := range paths {
		digest := h[rpmDigests][i]
		sum := sha256.Sum256(files[path])
		old := md5.Sum(files[path]) //nolint:gosec // of old packages
		if digest != "" && digest != hex.EncodeToString(sum[:]) && digest != hex.EncodeToString(old[:]) {
			t.Errorf("%s: %s has another digest", file, path)
		}
		if h[rpmOwners][i] != "root" {
			t.Errorf("%s: %s belongs to %s", file, path, h[rpmOwners][i])
		}
	}
	all := strings.Join(paths, "\n") + "\n"
	for _, path := range want {
		if !strings.Contains(all, path+"\n") || len(files[path]) == 0 {
			t.Errorf("%s has no %s:\n%s", file, path, all)
		}
	}
}
