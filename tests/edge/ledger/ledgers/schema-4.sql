BEGIN TRANSACTION;
CREATE TABLE alarm    (point TEXT, alarm TEXT, since TEXT NOT NULL, PRIMARY KEY (point, alarm));
INSERT INTO "alarm" VALUES('00000000-0000-0000-0000-000000000001','low-balance','2026-11-21T10:00:20.260000+00:00');
INSERT INTO "alarm" VALUES('00000000-0000-0000-0000-000000000002','silent','2026-11-21T10:03:44.101458+00:00');
CREATE TABLE balance  (book TEXT PRIMARY KEY, fen INTEGER NOT NULL);
INSERT INTO "balance" VALUES('Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a',-25);
INSERT INTO "balance" VALUES('Liabilities:Prepaid:00000000-0000-0000-0000-00000000000b',60);
CREATE TABLE brake (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
CREATE TABLE carried (book TEXT PRIMARY KEY, fen INTEGER NOT NULL);
CREATE TABLE checked (point TEXT NOT NULL, work TEXT NOT NULL, at TEXT NOT NULL, is_right INTEGER, by TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (point, work));
CREATE TABLE credit (             -- of a purse, the last that came from the cloud
        book   TEXT PRIMARY KEY,
        number INTEGER NOT NULL
    );
INSERT INTO "credit" VALUES('Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a',1);
INSERT INTO "credit" VALUES('Liabilities:Prepaid:00000000-0000-0000-0000-00000000000b',1);
CREATE TABLE gateway (            -- one row: who we are, and how far the two logs are
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  gateway_no TEXT NOT NULL,
  log        TEXT NOT NULL,       -- our log; a new store is a new log
  acked      INTEGER NOT NULL,    -- the cloud's cursor in it
  cloud_log  TEXT,                -- the cloud's log, pinned at the first entry that verified
  cloud_seq  INTEGER NOT NULL     -- our cursor in it
, instead_of TEXT, hold TEXT);
INSERT INTO "gateway" VALUES(1,'GW-0001','00000000-0000-0000-0000-00000000a001',6,'00000000-0000-0000-0000-00000000c001',5,NULL,NULL);
CREATE TABLE history (point TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "history" VALUES('00000000-0000-0000-0000-000000000002','{"doubt":{"reading":{"meter_no":"78330011223344","at":"2026-11-21T10:01:30.520000Z","total":"99999.00","supply":"on"},"since":"PT0S","kind":"jump"}}');
CREATE TABLE intent   (           -- a switch command that is about to be sent, until it is read back
  point        TEXT PRIMARY KEY,
  supply       TEXT NOT NULL,
  sent_at      TEXT NOT NULL,
  commanded_at TEXT,              -- when the meter acknowledged it
  tries        INTEGER NOT NULL,
  is_refused   INTEGER NOT NULL
);
INSERT INTO "intent" VALUES('00000000-0000-0000-0000-000000000002','off','2026-11-21T10:04:15.667188+00:00',NULL,1,0);
CREATE TABLE kept_time (id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL);
CREATE TABLE lent (               -- 应急额度 that is taken and not paid back
        purse TEXT PRIMARY KEY,
        at    TEXT NOT NULL,
        by    TEXT NOT NULL
    );
CREATE TABLE mark (number INTEGER PRIMARY KEY, up_seq INTEGER NOT NULL, transfer INTEGER NOT NULL);
CREATE TABLE meter_clock (point TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE off (                -- supplies that are off
        point          TEXT PRIMARY KEY,
        since          TEXT,            -- NULL: nobody knows
        taps_closed_at TEXT             -- when they were said to be closed
    );
CREATE TABLE override (point TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE point    (id TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "point" VALUES('00000000-0000-0000-0000-000000000001','{"id":"00000000-0000-0000-0000-000000000001","name":"0301 电","meter":{"meter_no":"201709320072","protocol":"dlt645-2007","line":"L1","address":"201709320072","digits":6,"step":"0.01","max_per_hour":"36000","settings":{"password":"123456","level":"4","operator":"00000001"},"has_switch":true,"multiplier":"1","thresholds":{"always_usual":"200","times_usual":"2","usual_over":"P90D","usual_from":"P7D","stuck_after":"P3D","stuck_steps":"10","stuck_times":"2","clock_apart":"PT5M","duplicate_within":"P7D"}},"tariff":"power","purse":"00000000-0000-0000-0000-00000000000a","policy":{"alarm_at":{"fen":50},"cut_at":{"fen":0},"restore":"allow-close","is_protected":false,"final_alarm_at":{"fen":50}}}');
INSERT INTO "point" VALUES('00000000-0000-0000-0000-000000000002','{"id":"00000000-0000-0000-0000-000000000002","name":"0301 水","meter":{"meter_no":"78330011223344","protocol":"cjt188-2004","line":"L1","address":"78330011223344","digits":6,"step":"0.01","max_per_hour":"36000","settings":{"meter_type":"10"},"has_switch":true,"multiplier":"1","thresholds":{"always_usual":"200","times_usual":"2","usual_over":"P90D","usual_from":"P7D","stuck_after":"P3D","stuck_steps":"10","stuck_times":"2","clock_apart":"PT5M","duplicate_within":"P7D"}},"tariff":"water","purse":"00000000-0000-0000-0000-00000000000b","policy":{"alarm_at":{"fen":50},"cut_at":{"fen":0},"restore":"direct","is_protected":false,"final_alarm_at":{"fen":50}}}');
CREATE TABLE position (point TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "position" VALUES('00000000-0000-0000-0000-000000000001','{"reading":{"meter_no":"201709320072","at":"2026-11-21T10:01:40.810000Z","total":"102.50","supply":"on"},"running":[{"item":"energy","usage":"2.50","cost":"1.2500","posted":{"fen":125}}],"opened_at":"2026-11-21T10:00:10.130000Z","number":3,"counted":[],"fees_until":"2026-11-21T10:01:40.810000Z"}');
INSERT INTO "position" VALUES('00000000-0000-0000-0000-000000000002','{"reading":{"meter_no":"78330011223344","at":"2026-11-21T10:01:30.520000Z","total":"10.10","supply":"on"},"running":[{"item":"energy","usage":"0.10","cost":"0.4000","posted":{"fen":40}}],"opened_at":"2026-11-21T10:00:30.470000Z","number":1,"counted":[],"fees_until":"2026-11-21T10:01:30.520000Z"}');
CREATE TABLE rejected (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, reason TEXT NOT NULL);
INSERT INTO "rejected" VALUES(4,'{"kind":"what"}','not a message');
CREATE TABLE supply   (           -- what the cloud was last told of each point's supply
  point        TEXT PRIMARY KEY,
  seen         TEXT,
  wanted       TEXT,
  why          TEXT NOT NULL,
  commanded_at TEXT
);
INSERT INTO "supply" VALUES('00000000-0000-0000-0000-000000000002','on','on','credit',NULL);
INSERT INTO "supply" VALUES('00000000-0000-0000-0000-000000000001','off','off','no-credit','2026-11-21T10:01:40.890000+00:00');
CREATE TABLE tariff   (code TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "tariff" VALUES('power','{"document":{"code":"power","commodity":"electricity","unit":"kWh","currency":"CNY","timezone":"Asia/Shanghai","versions":[{"effective_from":"2026-01-01T00:00:00+08:00","components":[{"item":"energy","kind":"rate","price":"0.50"}]}]},"kind":"tariff-set"}');
INSERT INTO "tariff" VALUES('water','{"document":{"code":"water","commodity":"cold_water","unit":"m3","currency":"CNY","timezone":"Asia/Shanghai","versions":[{"effective_from":"2026-01-01T00:00:00+08:00","components":[{"item":"energy","kind":"rate","price":"4.00"}]}]},"kind":"tariff-set"}');
CREATE TABLE transfer (           -- 凭证, never changed
  id         TEXT PRIMARY KEY,
  debit      TEXT NOT NULL,
  credit     TEXT NOT NULL,
  amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
  reason     TEXT NOT NULL,
  cause      TEXT NOT NULL,
  at         TEXT NOT NULL
);
INSERT INTO "transfer" VALUES('99d6ecea-c53b-5396-8d9e-dfeb13a18dd7','Assets:Clearing:sandbox','Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a',100,'top-up','sandbox:power','2026-11-21T10:00:00+00:00');
INSERT INTO "transfer" VALUES('f34c2aed-a023-5f73-ba2f-ba9237562af0','Assets:Clearing:sandbox','Liabilities:Prepaid:00000000-0000-0000-0000-00000000000b',100,'top-up','sandbox:water','2026-11-21T10:00:00+00:00');
INSERT INTO "transfer" VALUES('d717cfb4-62d5-5508-bc7f-853de098853b','Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a','Income:energy',50,'charge','00000000-0000-0000-0000-000000000001:energy:2026-11-21T10:00:10.130000+00:00:1','2026-11-21T10:00:20.260000+00:00');
INSERT INTO "transfer" VALUES('37f5ee61-c144-5372-aab5-f8dde09dce9d','Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a','Income:energy',2,'charge','00000000-0000-0000-0000-000000000001:energy:2026-11-21T10:00:10.130000+00:00:2','2026-11-21T10:00:30.390000+00:00');
INSERT INTO "transfer" VALUES('e4431bb1-139b-5d1e-9047-932bfd071022','Liabilities:Prepaid:00000000-0000-0000-0000-00000000000b','Income:energy',40,'charge','00000000-0000-0000-0000-000000000002:energy:2026-11-21T10:00:30.470000+00:00:1','2026-11-21T10:01:30.520000+00:00');
INSERT INTO "transfer" VALUES('834c5106-4d29-573d-9d37-b480354065a1','Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a','Income:energy',73,'charge','00000000-0000-0000-0000-000000000001:energy:2026-11-21T10:00:10.130000+00:00:3','2026-11-21T10:01:40.650000+00:00');
CREATE TABLE typed (              -- 离线充值码: credit by a code, until the cloud's own comes
        book       TEXT,
        number     INTEGER,
        amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
        at         TEXT NOT NULL,
        PRIMARY KEY (book, number)
    );
CREATE TABLE up (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, previous TEXT NOT NULL);
INSERT INTO "up" VALUES(1,'{"point":"00000000-0000-0000-0000-000000000001","reading":{"meter_no":"201709320072","at":"2026-11-21T10:00:10.130000Z","total":"100.00","supply":"on"},"kind":"read"}','0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO "up" VALUES(2,'{"point":"00000000-0000-0000-0000-000000000001","position":{"reading":{"meter_no":"201709320072","at":"2026-11-21T10:00:10.130000Z","total":"100.00","supply":"on"},"running":[{"item":"energy","usage":"0","cost":"0","posted":{"fen":0}}],"opened_at":"2026-11-21T10:00:10.130000Z","number":0,"counted":[],"fees_until":"2026-11-21T10:00:10.130000Z"},"transfers":[],"kind":"charged"}','dd2fdd54758b4108cd1e45c17bc8e1f89ae34ba439b4da95fde60e58522749c1');
INSERT INTO "up" VALUES(3,'{"point":"00000000-0000-0000-0000-000000000001","at":"2026-11-21T10:00:10.130000Z","supply":"on","wanted":"on","why":"credit","commanded_at":null,"kind":"supply-changed"}','94a135845a6cc9be5d52de2d1570f2d75ccae7d5b2d8a8410c9670f7af37b962');
INSERT INTO "up" VALUES(4,'{"point":"00000000-0000-0000-0000-000000000001","reading":{"meter_no":"201709320072","at":"2026-11-21T10:00:20.260000Z","total":"101.00","supply":"on"},"kind":"read"}','ee1fc33565088a7b2053c1db3fee4200cc31979b4257a90fdff4f16160afe854');
INSERT INTO "up" VALUES(5,'{"point":"00000000-0000-0000-0000-000000000001","position":{"reading":{"meter_no":"201709320072","at":"2026-11-21T10:00:20.260000Z","total":"101.00","supply":"on"},"running":[{"item":"energy","usage":"1.00","cost":"0.5000","posted":{"fen":50}}],"opened_at":"2026-11-21T10:00:10.130000Z","number":1,"counted":[],"fees_until":"2026-11-21T10:00:20.260000Z"},"transfers":[{"debit":"Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a","credit":"Income:energy","amount":{"fen":50},"reason":"charge","cause":"00000000-0000-0000-0000-000000000001:energy:2026-11-21T10:00:10.130000+00:00:1","at":"2026-11-21T10:00:20.260000Z"}],"kind":"charged"}','54c9451bff38c8a53725c4b3cc3e1b54e9928f8d99bb0226b429003d925fba8f');
INSERT INTO "up" VALUES(6,'{"point":"00000000-0000-0000-0000-000000000001","at":"2026-11-21T10:00:20.260000Z","alarm":"low-balance","is_over":false,"text":"the purse holds 0.50","kind":"alarm"}','50db8374f2feda16e00e4059e25897cdc5b3d0fbc14f233e2bccf00516d09599');
INSERT INTO "up" VALUES(7,'{"point":"00000000-0000-0000-0000-000000000001","reading":{"meter_no":"201709320072","at":"2026-11-21T10:00:30.390000Z","total":"101.03","supply":"on"},"kind":"read"}','2d2055d6fd6e260458458fb0c9339c9a17034b6932b17822462f044e9b2c24cb');
INSERT INTO "up" VALUES(8,'{"point":"00000000-0000-0000-0000-000000000001","position":{"reading":{"meter_no":"201709320072","at":"2026-11-21T10:00:30.390000Z","total":"101.03","supply":"on"},"running":[{"item":"energy","usage":"1.03","cost":"0.5150","posted":{"fen":52}}],"opened_at":"2026-11-21T10:00:10.130000Z","number":2,"counted":[],"fees_until":"2026-11-21T10:00:30.390000Z"},"transfers":[{"debit":"Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a","credit":"Income:energy","amount":{"fen":2},"reason":"charge","cause":"00000000-0000-0000-0000-000000000001:energy:2026-11-21T10:00:10.130000+00:00:2","at":"2026-11-21T10:00:30.390000Z"}],"kind":"charged"}','08be355d8a95fdc05d65578e61c8f7eb4e2c4a5cfac497b19c9b416b9b764aa4');
INSERT INTO "up" VALUES(9,'{"point":"00000000-0000-0000-0000-000000000002","reading":{"meter_no":"78330011223344","at":"2026-11-21T10:00:30.470000Z","total":"10.00","supply":"on"},"kind":"read"}','ef90a59f1f4e77288bfcfcf2c5ab439b6a9673717a1db148f00c201a2da6501b');
INSERT INTO "up" VALUES(10,'{"point":"00000000-0000-0000-0000-000000000002","position":{"reading":{"meter_no":"78330011223344","at":"2026-11-21T10:00:30.470000Z","total":"10.00","supply":"on"},"running":[{"item":"energy","usage":"0","cost":"0","posted":{"fen":0}}],"opened_at":"2026-11-21T10:00:30.470000Z","number":0,"counted":[],"fees_until":"2026-11-21T10:00:30.470000Z"},"transfers":[],"kind":"charged"}','98c81c923d462998f09f1597341ef0657bc13c05559ee2d7d469373a3fe22a81');
INSERT INTO "up" VALUES(11,'{"point":"00000000-0000-0000-0000-000000000002","at":"2026-11-21T10:00:30.470000Z","supply":"on","wanted":"on","why":"credit","commanded_at":null,"kind":"supply-changed"}','4eef6c0a4210a8c87dc694e735bd396c40a150678f94f14a7987fd5b436631b5');
INSERT INTO "up" VALUES(12,'{"point":"00000000-0000-0000-0000-000000000002","reading":{"meter_no":"78330011223344","at":"2026-11-21T10:01:30.520000Z","total":"10.10","supply":"on"},"kind":"read"}','13e2a61d263cede7d2dd55c405a27bfa7d66dbc008dcd5b70d14276e8048e690');
INSERT INTO "up" VALUES(13,'{"point":"00000000-0000-0000-0000-000000000002","position":{"reading":{"meter_no":"78330011223344","at":"2026-11-21T10:01:30.520000Z","total":"10.10","supply":"on"},"running":[{"item":"energy","usage":"0.10","cost":"0.4000","posted":{"fen":40}}],"opened_at":"2026-11-21T10:00:30.470000Z","number":1,"counted":[],"fees_until":"2026-11-21T10:01:30.520000Z"},"transfers":[{"debit":"Liabilities:Prepaid:00000000-0000-0000-0000-00000000000b","credit":"Income:energy","amount":{"fen":40},"reason":"charge","cause":"00000000-0000-0000-0000-000000000002:energy:2026-11-21T10:00:30.470000+00:00:1","at":"2026-11-21T10:01:30.520000Z"}],"kind":"charged"}','fddec250dad4985a0610cf2318c417bcc6fbed23f0f216970ae03c0701553704');
INSERT INTO "up" VALUES(14,'{"point":"00000000-0000-0000-0000-000000000001","reading":{"meter_no":"201709320072","at":"2026-11-21T10:01:40.650000Z","total":"102.50","supply":"on"},"kind":"read"}','14ac8cd94e483fc8f6077aff6f771cd73d895c4c338078745bb8d38078037e19');
INSERT INTO "up" VALUES(15,'{"point":"00000000-0000-0000-0000-000000000001","position":{"reading":{"meter_no":"201709320072","at":"2026-11-21T10:01:40.650000Z","total":"102.50","supply":"on"},"running":[{"item":"energy","usage":"2.50","cost":"1.2500","posted":{"fen":125}}],"opened_at":"2026-11-21T10:00:10.130000Z","number":3,"counted":[],"fees_until":"2026-11-21T10:01:40.650000Z"},"transfers":[{"debit":"Liabilities:Prepaid:00000000-0000-0000-0000-00000000000a","credit":"Income:energy","amount":{"fen":73},"reason":"charge","cause":"00000000-0000-0000-0000-000000000001:energy:2026-11-21T10:00:10.130000+00:00:3","at":"2026-11-21T10:01:40.650000Z"}],"kind":"charged"}','aa60a2c583045198d9a187542c053283ee17e3dfc50114282331fc8575be9129');
INSERT INTO "up" VALUES(16,'{"point":"00000000-0000-0000-0000-000000000001","at":"2026-11-21T10:01:40.650000Z","supply":"on","wanted":"off","why":"no-credit","commanded_at":null,"kind":"supply-changed"}','a0e58fc59bf056fe2d8cf76a1dea65115516afeadddab2d718de0ce3b6d00dc5');
INSERT INTO "up" VALUES(17,'{"point":"00000000-0000-0000-0000-000000000001","at":"2026-11-21T10:01:40.970000Z","supply":"off","wanted":"off","why":"no-credit","commanded_at":"2026-11-21T10:01:40.890000Z","kind":"supply-changed"}','7785a5dccd60182f66bbe0432e34a7708100b5b4e9f5447dd8aa8de29237d845');
INSERT INTO "up" VALUES(18,'{"point":"00000000-0000-0000-0000-000000000002","at":"2026-11-21T10:03:44.101458Z","alarm":"silent","is_over":false,"text":"no reply on line L1 to 3 requests","kind":"alarm"}','b92c8aca4a0a3e174b2a6e61880d710533c6ab4e410acba425127f421e58008a');
CREATE TABLE warned (point TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE withdrawn (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE wrong_codes (        -- one row while there are any: how many since the last right one
        id      INTEGER PRIMARY KEY CHECK (id = 1),
        count   INTEGER NOT NULL,
        last_at TEXT NOT NULL
    );
COMMIT;
PRAGMA user_version = 4;
