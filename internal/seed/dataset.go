package seed

import (
	"strconv"
	"time"
)

// dataset is the demo data of a given size. Its methods named after tables append one row each.
type dataset struct {
	users       int
	invoices    int
	tenantUsers int
	adminID     uuid
	tenants     []tenant
	dice        *dice
}

func newDataset(s Size) *dataset {
	d := &dataset{
		users:       max(1, s.Users),
		invoices:    s.Invoices,
		tenantUsers: max(5, s.Users/10),
		adminID:     kindUser.id(0),
		tenants:     make([]tenant, min(max(5, s.Users/20), 2000)),
		dice:        newDice(),
	}
	for i := range d.tenants {
		d.tenants[i] = newTenant(d.dice, i)
	}
	return d
}

// managerDatabase lists the tables of the manager database, referenced tables first.
func (s *dataset) managerDatabase() []copyJob {
	return []copyJob{
		{"idam.users", userColumns, s.users, s.user},
		{"tnnt.tenants", tenantColumns, len(s.tenants), s.tenant},
		{"tnnt.tenant_users", memberColumns, s.users - 1, s.member},
		{"bill.plans", planColumns, len(plans), s.plan},
		{"tnnt.subscriptions", subscriptionColumns, len(s.tenants), s.subscription},
		{"bill.invoices", invoiceColumns, s.invoices, s.invoice},
	}
}

// tenantDatabase lists the tables of the tenant database.
func (s *dataset) tenantDatabase() []copyJob {
	return []copyJob{{"sys.users", tenantUserColumns, s.tenantUsers, s.tenantUser}}
}

// companies are the codes and names of tenants. A number is appended from the second round on.
var companies = []name{
	{"Acme Corporation", "acme"},
	{"하늘빛전자", "haneulbit"},
	{"새벽물류", "saebyeok"},
	{"Globex Trading", "globex"},
	{"달님식품", "dalnim"},
	{"푸른솔건설", "pureunsol"},
	{"Initech Systems", "initech"},
	{"노래울미디어", "noraeul"},
	{"별무리게임즈", "byeolmuri"},
	{"Umbra Analytics", "umbra"},
	{"온새미로교육", "onsaemiro"},
	{"다솜메디칼", "dasom"},
	{"Zephyr Airlines", "zephyr"},
	{"가온누리상사", "gaonnuri"},
	{"한울가람에너지", "hanulgaram"},
	{"Quill & Sons", "quill"},
}

// tenant has the values that rows of other tables need.
type tenant struct {
	id, subscription uuid
	code, name       string
	plan             int // index into plans
	money            *currency
	status           string
	deleted          bool
	start, close     time.Time
}

func newTenant(d *dice, i int) tenant {
	d.turn(kindTenant, i)
	c := companies[i%len(companies)]
	t := tenant{
		id: kindTenant.id(i), subscription: kindSubscription.id(i),
		code: c.latin, name: c.text,
		plan: 1 + d.IntN(3), money: &currencies[0], status: "ACTIVE",
		// before the oldest invoice
		start: today.Add(-history).AddDate(0, 0, -31-d.IntN(700)),
	}
	if round := i / len(companies); round > 0 {
		t.code += "-" + strconv.Itoa(round+1)
		t.name += " " + strconv.Itoa(round+1)
	}
	if n := d.IntN(100); n >= 70 {
		t.money = &currencies[1+(n-70)/10]
	}
	// round-robin, so that five tenants already have all statuses
	switch i % 17 {
	case 2:
		t.status, t.plan = "TRIAL", 0
	case 3:
		t.status = "SUSPENDED"
	case 4:
		t.status = "TERMINATED"
		t.close = today.AddDate(0, 0, -1-d.IntN(30))
		t.deleted = d.percent(50)
	}
	return t
}

const tenantColumns = `id created_at created_by updated_at updated_by code name type biz_no biz_name ceo_name
	postcode phone_no employee_count start_date close_date timezone locale currency status is_suspended suspended_reason
	suspended_date is_deleted`

func (s *dataset) tenant(r *row, i int) {
	t, d := &s.tenants[i], s.dice
	d.turn(kindTenant, i+1_000_000) // a different stream than newTenant's
	boss := newPerson(d, i)
	place := pick(d, boss.places)

	r.id(t.id)
	r.time(t.start.Add(9 * time.Hour))
	r.id(s.adminID)
	switch {
	case !t.close.IsZero():
		r.time(t.close)
		r.id(s.adminID)
	case t.status == "SUSPENDED":
		r.time(today.AddDate(0, 0, -7))
		r.id(s.adminID)
	default:
		r.null()
		r.null()
	}
	r.text(t.code)
	r.text(t.name)
	r.text(plans[t.plan].code)
	r.texts("999-", strconv.Itoa(100 + i/100_000)[1:], "-", strconv.Itoa(100_000 + i%100_000)[1:])
	r.text(t.name)
	r.text(boss.full)
	r.text(strconv.Itoa(110_000 + d.IntN(880_000))[1:])
	r.text(boss.phone)
	r.int(5 + d.IntN(2_000))
	r.date(t.start)
	r.date(t.close)
	r.text(place[0])
	r.text(place[1])
	r.text(t.money.code)
	r.text(t.status)
	r.bool(t.status == "SUSPENDED")
	if t.status == "SUSPENDED" {
		r.text("payment overdue for more than 60 days")
		r.date(today.AddDate(0, 0, -7))
	} else {
		r.null()
		r.null()
	}
	r.bool(t.deleted)
}

const memberColumns = `id created_at created_by tenant_id user_id role employee_id start_date close_date status
	is_primary is_admin`

// member makes the user after the i-th a member of a tenant; the first member of each manages it. Users of the
// platform itself are not members.
func (s *dataset) member(r *row, i int) {
	i++
	if s.userType(i) != "TENANT" {
		return
	}
	t := s.tenants[(i-1)%len(s.tenants)]
	first := i <= len(s.tenants)
	since, _ := slot(i, s.users)

	r.id(kindMember.id(i))
	r.time(since)
	r.id(s.adminID)
	r.id(t.id)
	r.id(kindUser.id(i))
	if first {
		r.text("ADMIN")
	} else {
		r.text("MEMBER")
	}
	r.texts("E", strconv.Itoa(10_000_000 + i)[1:])
	r.date(since)
	if s.userDeleted(i) {
		r.date(today)
		r.text("LEFT")
	} else {
		r.null()
		r.text("ACTIVE")
	}
	r.bool(first)
	r.bool(first)
}
