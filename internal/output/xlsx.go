package output

import (
	"archive/zip"
	"bytes"
	"io"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

// workbook writes a spreadsheet (Office Open XML, ECMA-376) to a zip, sheet by sheet, in constant memory.
//
// Numbers of up to 15 digits, dates and booleans are typed cells. All other values are exact text, including
// times, because spreadsheets support neither time zones nor microseconds. Text is never a formula.
type workbook struct {
	zip    *zip.Writer
	sheet  io.Writer // the current sheet
	sheets int
	names  []string
	bare   bool // without a header row
	rows   int  // of the current sheet

	sent []pgtext.Column // of binary rows
	cols []column        // of records
	buf  []byte          // records that are not yet written
	cell []byte
	doc  document
}

// The limits of rows per sheet, characters per cell and exact digits.
const (
	sheetRows  = 1 << 20
	cellRunes  = 32767
	exactChars = 15
)

func newWorkbook(p *Printer, w io.Writer, cols []column) *workbook {
	x := &workbook{zip: zip.NewWriter(w), names: names(cols), cols: cols, bare: p.NoHeaders}
	x.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	return x
}

// The constant parts of a workbook. The default content type is that of a sheet, because the number of sheets
// is not known in advance.
const (
	xmlHead      = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	mainSpace    = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"`
	relSpace     = `http://schemas.openxmlformats.org/officeDocument/2006/relationships`
	contentTypes = xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>`
	rootRels = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="` + relSpace + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`
	// cell formats: 0 general, 1 a day, 2 to 9 decimals of one to eight places, 10 the header
	stylesHead = xmlHead + `<styleSheet ` + mainSpace + `><numFmts count="9"><numFmt numFmtId="164" formatCode="yyyy\-mm\-dd"/>`
	stylesTail = `</numFmts><fonts count="2"><font/><font><b/></font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill>` +
		`<fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders>` +
		`<cellStyleXfs count="1"><xf/></cellStyleXfs>`
	sheetHead = xmlHead + `<worksheet ` + mainSpace + `><sheetData>`
	sheetTail = `</sheetData></worksheet>`
	maxPlaces = 8
)

func styles() string {
	s, xfs := stylesHead, `<cellXfs count="11"><xf/><xf numFmtId="164" applyNumberFormat="1"/>`
	zeros := "0."
	for i := range maxPlaces {
		zeros += "0"
		id := strconv.Itoa(165 + i)
		s += `<numFmt numFmtId="` + id + `" formatCode="#,##` + zeros + `"/>`
		xfs += `<xf numFmtId="` + id + `" applyNumberFormat="1"/>`
	}
	return s + stylesTail + xfs + `<xf fontId="1" applyFont="1"/></cellXfs></styleSheet>`
}

// part writes a part of the zip.
func (x *workbook) part(name, text string) error {
	w, err := x.zip.Create(name)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	return err
}

// open writes the first parts and starts the first sheet.
func (x *workbook) open(b []byte) ([]byte, error) {
	for _, p := range [][2]string{{"[Content_Types].xml", contentTypes}, {"_rels/.rels", rootRels}, {"xl/styles.xml", styles()}} {
		if err := x.part(p[0], p[1]); err != nil {
			return b, err
		}
	}
	return x.next(b)
}

// next starts a sheet. The previous one must be complete.
func (x *workbook) next(b []byte) (_ []byte, err error) {
	x.sheets++
	x.rows = 0
	if x.sheet, err = x.zip.Create("xl/worksheets/sheet" + strconv.Itoa(x.sheets) + ".xml"); err != nil {
		return b, err
	}
	b = append(b, sheetHead...)
	if x.bare {
		return b, nil
	}
	x.rows++
	b = append(b, "<row>"...)
	for _, n := range x.names {
		b = append(b, `<c t="inlineStr" s="10"><is><t>`...)
		b = appendXMLText(b, []byte(n))
		b = append(b, "</t></is></c>"...)
	}
	return append(b, "</row>"...), nil
}

// room starts another sheet if this one is full.
func (x *workbook) room(b []byte) ([]byte, error) {
	if x.rows++; x.rows <= sheetRows {
		return b, nil
	}
	if _, err := x.sheet.Write(append(b, sheetTail...)); err != nil {
		return b, err
	}
	b, err := x.next(b[:0])
	x.rows++
	return b, err
}

// finish writes the list of sheets. The last sheet must be complete.
func (x *workbook) finish() error {
	book := xmlHead + `<workbook ` + mainSpace + ` xmlns:r="` + relSpace + `"><sheets>`
	rels := xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="styles" Type="` + relSpace + `/styles" Target="styles.xml"/>`
	for i := 1; i <= x.sheets; i++ {
		n := strconv.Itoa(i)
		book += `<sheet name="Sheet` + n + `" sheetId="` + n + `" r:id="rId` + n + `"/>`
		rels += `<Relationship Id="rId` + n + `" Type="` + relSpace + `/worksheet" Target="worksheets/sheet` + n + `.xml"/>`
	}
	if err := x.part("xl/workbook.xml", book+`</sheets></workbook>`); err != nil {
		return err
	}
	if err := x.part("xl/_rels/workbook.xml.rels", rels+`</Relationships>`); err != nil {
		return err
	}
	return x.zip.Close()
}

// appendCell appends the value with the text x.cell.
func (x *workbook) appendCell(b []byte, name string, form pgtext.Kind) ([]byte, error) {
	v := x.cell
	switch form {
	case pgtext.Literal:
		switch {
		case string(v) == "true":
			return append(b, `<c t="b"><v>1</v></c>`...), nil
		case string(v) == "false":
			return append(b, `<c t="b"><v>0</v></c>`...), nil
		case len(v) <= exactChars:
			return append(append(append(b, "<c><v>"...), v...), "</v></c>"...), nil
		}
	case pgtext.Plain:
		if places, ok := decimal(v); ok {
			b = append(b, "<c"...)
			if places > 0 {
				b = append(b, ` s="`...)
				b = strconv.AppendInt(b, int64(1+min(places, maxPlaces)), 10)
				b = append(b, '"')
			}
			return append(append(append(b, "><v>"...), v...), "</v></c>"...), nil
		}
		if serial, ok := serialDay(v); ok {
			return append(strconv.AppendInt(append(b, `<c s="1"><v>`...), serial, 10), "</v></c>"...), nil
		}
	case pgtext.Text, pgtext.JSON:
		if len(v) > cellRunes && utf8.RuneCount(v) > cellRunes {
			return b, fault.New(fault.Validation, "a %s of %d characters does not fit into a spreadsheet cell, which holds at most %d",
				name, utf8.RuneCount(v), cellRunes).
				WithHint("leave the field out with --columns, or use --output csv")
		}
	}
	b = append(b, `<c t="inlineStr"><is><t xml:space="preserve">`...)
	b = appendXMLText(b, v)
	return append(b, "</t></is></c>"...), nil
}

// decimal reports whether v is a decimal that a spreadsheet stores exactly, and returns its decimal places.
func decimal(v []byte) (places int, ok bool) {
	digits, point := 0, -1
	for i, c := range v {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '-' && i == 0:
		case c == '.' && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	if point >= 0 {
		places = len(v) - 1 - point
	}
	return places, digits > 0 && digits <= exactChars
}

// serialDay returns the serial number of a date. Spreadsheets treat 1900 as a leap year, so dates before
// 1 March 1900 are written as text.
func serialDay(v []byte) (int64, bool) {
	if len(v) != len(time.DateOnly) || v[4] != '-' || v[7] != '-' {
		return 0, false
	}
	day, err := time.Parse(time.DateOnly, string(v))
	if err != nil || day.Year() < 1900 || day.Year() == 1900 && day.Month() < time.March {
		return 0, false
	}
	return day.Unix()/86400 + 25569, true
}

// appendXMLText appends the text of a cell. Characters that XML cannot represent are escaped as _x000D_, and
// so is the underscore of text that looks like such an escape (ECMA-376, ST_Xstring).
func appendXMLText(b, v []byte) []byte {
	plain := true
	for _, c := range v {
		if c < ' ' || c >= utf8.RuneSelf || c == '&' || c == '<' || c == '>' || c == '_' {
			plain = false
			break
		}
	}
	if plain {
		return append(b, v...)
	}
	for len(v) > 0 {
		r, size := utf8.DecodeRune(v)
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff, r == '_' && isXForm(v):
			b = append(b, '_', 'x', upperHex[r>>12&15], upperHex[r>>8&15], upperHex[r>>4&15], upperHex[r&15], '_')
		default:
			b = utf8.AppendRune(b, r) // U+FFFD for invalid bytes
		}
		v = v[size:]
	}
	return b
}

const upperHex = "0123456789ABCDEF"

// isXForm reports whether v begins like _x000D_.
func isXForm(v []byte) bool {
	if len(v) < 7 || v[1] != 'x' || v[6] != '_' {
		return false
	}
	for _, c := range v[2:6] {
		if !bytes.ContainsRune([]byte(upperHex+"abcdef"), rune(c)) {
			return false
		}
	}
	return true
}

// appendRow appends a binary row.
func (x *workbook) appendRow(b []byte, values [][]byte) (_ []byte, err error) {
	if b, err = x.room(b); err != nil {
		return b, err
	}
	b = append(b, "<row>"...)
	for i, v := range values {
		c := &x.sent[i]
		if v == nil {
			b = append(b, "<c/>"...)
			continue
		}
		if x.cell, err = x.doc.appendCell(x.cell[:0], c, v); err != nil {
			return b, err
		}
		if b, err = x.appendCell(b, c.Name, c.Kind); err != nil {
			return b, err
		}
	}
	return append(b, "</row>"...), nil
}

// xlsxRows writes binary rows to a workbook.
type xlsxRows struct{ *workbook }

func (x xlsxRows) begin(b []byte) ([]byte, error) { return x.open(b) }

func (x xlsxRows) row(b []byte, values [][]byte) (_ []byte, err error) {
	return x.appendRow(b, values)
}

func (x xlsxRows) write(b []byte) error {
	_, err := x.sheet.Write(b)
	return err
}

func (x xlsxRows) end(b []byte, _ envelope) error {
	if err := x.write(append(b, sheetTail...)); err != nil {
		return err
	}
	return x.finish()
}

// xlsxRecords writes records to a workbook.
type xlsxRecords struct{ *workbook }

func (x xlsxRecords) begin() (err error) {
	x.buf, err = x.open(x.buf[:0])
	return err
}

func (x xlsxRecords) row(rec reflect.Value) (err error) {
	if x.buf, err = x.room(x.buf); err != nil {
		return err
	}
	x.buf = append(x.buf, "<row>"...)
	for i := range x.cols {
		c := &x.cols[i]
		if _, present := c.value(rec); !present {
			x.buf = append(x.buf, "<c/>"...)
			continue
		}
		if x.cell, err = c.appendText(x.cell[:0], rec); err != nil {
			return err
		}
		form := pgtext.Text
		switch c.kind {
		case marshaled, instant:
			form = pgtext.Plain
		case boolean, signed, unsigned:
			form = pgtext.Literal
		case text, composite:
		}
		if x.buf, err = x.appendCell(x.buf, c.name, form); err != nil {
			return err
		}
	}
	x.buf = append(x.buf, "</row>"...)
	if len(x.buf) >= bufferSize {
		_, err = x.sheet.Write(x.buf)
		x.buf = x.buf[:0]
	}
	return err
}

func (x xlsxRecords) end(envelope) error {
	if _, err := x.sheet.Write(append(x.buf, sheetTail...)); err != nil {
		return err
	}
	return x.finish()
}
