/* Every refusal of the task file with its exact words and line, defaults, values, warnings. */
#include "common/task_doc.h"
#include "tests/unit/task_help.h"

struct refusal {
    const char *from;
    const char *to;
    const char *complaints; /* all of them, a line each */
};

static const struct refusal refusals[] = {
    /* unknown members */
    {"\"Weir\": {}", "\"Wier\": {}", "task.json:23: $.Wier: is unknown; did you mean Weir?\n"},
    {"\"Weir\": {}", "\"Weir\": {\"Encodrs\": 1}",
     "task.json:23: $.Weir.Encodrs: is unknown; did you mean Encoders?\n"},
    {"\"Weir\": {}", "\"Weir\": {\"Zebra\": 1}",
     "task.json:23: $.Weir.Zebra: is unknown; `weirctl settings` lists what is known\n"},
    {"\"Weir\": {}", "\"Weir\": {\"StreamArn\": 1}",
     "task.json:23: $.Weir.StreamArn: is unknown here; StreamArn belongs to "
     "TargetEndpoint.KinesisSettings\n"},
    {"\"Weir\": {}", "\"Weir\": {\"migrationtype\": 1}",
     "task.json:23: $.Weir.migrationtype: is unknown here; MigrationType belongs to the top of the "
     "file\n"},
    {"\"Weir\": {}", "\"Weir\": {\"a\\nb\": 1}",
     "task.json:23: $.Weir.a?b: is unknown; `weirctl settings` lists what is known\n"},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\n\"Logging\": {\n\"EnabelLogging\": true}}",
     "task.json:24: $.ReplicationTaskSettings.Logging.EnabelLogging: is unknown; did you mean "
     "EnableLogging?\n"},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": {\"FullLobMode\": true,\n"
     "\"LimitedSizeLobMode\": true}}",
     "task.json:23: $.ReplicationTaskSettings.TargetMetadata.LimitedSizeLobMode: is true beside "
     "FullLobMode: large values are either sent whole or cut at LobMaxSize; leave one of them "
     "out\n"},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": {\"LimitedSizeLobMode\": true,\n"
     "\"LobMaxSize\": 0}}",
     "task.json:23: $.ReplicationTaskSettings.TargetMetadata.LobMaxSize: found 0 where "
     "LimitedSizeLobMode cuts; allowed is a number from 1 to 102400, and SupportLobs false leaves "
     "large values out\n"},
    {"\"ReplicationTaskSettings\": {}", "\"ReplicationTaskSettings\": {\"Loging\": {}}",
     "task.json:22: $.ReplicationTaskSettings.Loging: is unknown; did you mean Logging?\n"},
    {"\"ReplicationTaskSettings\": {}", "\"ReplicationTaskSettings.Logging\": {}",
     "task.json:22: $.ReplicationTaskSettings.Logging: is unknown; did you mean "
     "ReplicationTaskSettings?\n"},

    /* missing members and sections */
    {"  \"MigrationType\": \"full-load-and-cdc\",\n", "",
     "task.json:1: $: MigrationType is missing (copy the tables, follow their changes, or first "
     "one "
     "and then the other)\n"},
    {"    \"ServerName\": \"127.0.0.1\",\n", "",
     "task.json:4: $.SourceEndpoint: ServerName is missing (host name or address of the database "
     "server; may stand in the secret of SecretsManagerSecretId instead)\n"},
    {"\"TargetEndpoint\": {\n    \"EngineName\": \"kinesis\",\n    \"KinesisSettings\": {\n"
     "      \"StreamArn\": \"arn:aws:kinesis:us-east-1:123456789012:stream/s\"\n    }\n  },\n",
     "", "task.json:1: $: TargetEndpoint is missing\n"},

    /* types and ranges */
    {"\"Weir\": {}", "\"Weir\": []", "task.json:23: $.Weir: found a list; allowed is an object\n"},
    {"\"Weir\": {}", "\"Weir\": null", "task.json:23: $.Weir: found null; allowed is an object\n"},
    {"\"Weir\": {}", "\"Weir\": {\"Encoders\": \"4\"}",
     "task.json:23: $.Weir.Encoders: found the text \"4\"; allowed is whole number 1..64\n"},
    {"\"Weir\": {}", "\"Weir\": {\"Encoders\": 65}",
     "task.json:23: $.Weir.Encoders: found the number 65; allowed is whole number 1..64\n"},
    {"\"Weir\": {}", "\"Weir\": {\"Encoders\": 1.5}",
     "task.json:23: $.Weir.Encoders: found the number 1.5; allowed is whole number 1..64\n"},
    {"\"Weir\": {}", "\"Weir\": {\"Encoders\": -1}",
     "task.json:23: $.Weir.Encoders: found the number -1; allowed is whole number 1..64\n"},
    {"\"Weir\": {}", "\"Weir\": {\"ChangeRingSize\": \"63MiB\"}",
     "task.json:23: $.Weir.ChangeRingSize: found 66060288 bytes; allowed is size "
     "1MiB..1024MiB, a power of two\n"},
    {"\"Weir\": {}", "\"Weir\": {\"RecordRingSize\": \"64MB\"}",
     "task.json:23: $.Weir.RecordRingSize: found the text \"64MB\"; allowed is size "
     "1MiB..1024MiB, a power of two\n"},
    {"\"Weir\": {}", "\"Weir\": {\"RecordRingSize\": \"99999999999999999999GiB\"}",
     "task.json:23: $.Weir.RecordRingSize: found the text \"99999999999999999999GiB\"; allowed is "
     "size 1MiB..1024MiB, a power of two\n"},
    {"\"Weir\": {}", "\"Weir\": {\"RecordRingSize\": 524288}",
     "task.json:23: $.Weir.RecordRingSize: found 524288 bytes; allowed is size 1MiB..1024MiB, a "
     "power of two\n"},
    {"\"Weir\": {}", "\"Weir\": {\"LogLevel\": \"verbose\"}",
     "task.json:23: $.Weir.LogLevel: found the text \"verbose\"; allowed is error, warn, info or "
     "debug\n"},
    {"\"Weir\": {}", "\"Weir\": {\"StateDirectory\": \"\"}",
     "task.json:23: $.Weir.StateDirectory: found a text of 0 bytes; allowed is file name\n"},
    {"\"Weir\": {}", "\"Weir\": {\"StateDirectory\": \"/dev/shm/weir/invoices\"}",
     "task.json:23: $.Weir.StateDirectory: is the same as RuntimeDirectory; rings live in memory, "
     "the state on a disk\n"},
    {"\"Weir\": {}", "\"Weir\": {\"EndpointUrl\": \"localhost:4567\"}",
     "task.json:23: $.Weir.EndpointUrl: found the text \"localhost:4567\"; allowed is http://... "
     "or "
     "https://...\n"},
    {"\"Weir\": {}", "\"Weir\": {\"EndpointUrl\": \"http://me:secret@x\"}",
     "task.json:23: $.Weir.EndpointUrl: holds a user name; credentials do not belong into a URL\n"},
    {"full-load-and-cdc", "full-load-and-cdx",
     "task.json:3: $.MigrationType: found the text \"full-load-and-cdx\"; allowed is full-load, "
     "cdc "
     "or full-load-and-cdc (did you mean \"full-load-and-cdc\"?)\n"},
    {"\"invoices\"", "\"in--voices\"",
     "task.json:2: $.ReplicationTaskIdentifier: found the text \"in--voices\"; allowed are "
     "letters, "
     "digits and single hyphens, beginning with a letter and not ending with a hyphen\n"},
    {"\"invoices\"", "\"../x\"",
     "task.json:2: $.ReplicationTaskIdentifier: found the text \"../x\"; allowed are letters, "
     "digits and single hyphens, beginning with a letter and not ending with a hyphen\n"},
    {"\"127.0.0.1\"", "\"127.0.0.1\",\n\"Port\": 65536",
     "task.json:7: $.SourceEndpoint.Port: found the number 65536; allowed is whole number "
     "1..65535\n"},
    {"\"weir\"", "\"we\\u0007ir\"",
     "task.json:8: $.SourceEndpoint.Username: holds a control character\n"},
    /* Sixty bytes are shown: the last letter would be cut in half. */
    {"\"sqlserver\"",
     "\"0123456789012345678901234567890123456789012345678901234567\xC3\xA4\xC3\xB6\"",
     "task.json:5: $.SourceEndpoint.EngineName: found the text "
     "\"0123456789012345678901234567890123456789012345678901234567\xC3\xA4\"; allowed is "
     "sqlserver\n"},
    {"\"sqlserver\"",
     "\"01234567890123456789012345678901234567890123456789012345678\xC3\xA4\xC3\xB6\"",
     "task.json:5: $.SourceEndpoint.EngineName: found the text "
     "\"01234567890123456789012345678901234567890123456789012345678?\"; allowed is sqlserver\n"},
    {"\"sqlserver\"", "\"oracle\"",
     "task.json:5: $.SourceEndpoint.EngineName: found the text \"oracle\"; allowed is sqlserver\n"},

    /* the password: its value is never repeated */
    {"{\"Env\": \"WEIR_TEST_PASSWORD\"}", "{\"Evn\": \"hunter2\"}",
     "task.json:9: $.SourceEndpoint.Password: found an object with an unknown member; allowed is "
     "{\"File\": path}, {\"Env\": variable} or {\"SecretsManagerSecretId\": id}\n"},
    {"{\"Env\": \"WEIR_TEST_PASSWORD\"}", "{\"Env\": \"A\", \"File\": \"b\"}",
     "task.json:9: $.SourceEndpoint.Password: found an object with other than one member; allowed "
     "is {\"File\": path}, {\"Env\": variable} or {\"SecretsManagerSecretId\": id}\n"},
    {"{\"Env\": \"WEIR_TEST_PASSWORD\"}", "12345",
     "task.json:9: $.SourceEndpoint.Password: found neither text nor an object; allowed is "
     "{\"File\": path}, {\"Env\": variable} or {\"SecretsManagerSecretId\": id}\n"},
    {"{\"Env\": \"WEIR_TEST_PASSWORD\"}", "{\"Env\": \"\"}",
     "task.json:9: $.SourceEndpoint.Password.Env: must be a text that is not empty\n"},

    /* the stream */
    {"arn:aws:kinesis:us-east-1:123456789012:stream/s", "stream/s",
     "task.json:14: $.TargetEndpoint.KinesisSettings.StreamArn: \"stream/s\" is not "
     "arn:aws:kinesis:REGION:ACCOUNT:stream/NAME; `aws kinesis describe-stream-summary` prints it "
     "as StreamARN\n"},
    {"arn:aws:kinesis:us-east-1:123456789012:stream/s",
     "arn:aws:kinesis:us-east-1:12345678901:stream/s",
     "task.json:14: $.TargetEndpoint.KinesisSettings.StreamArn: "
     "\"arn:aws:kinesis:us-east-1:12345678901:stream/s\" has an account that is not 12 digits; "
     "`aws kinesis describe-stream-summary` prints it as StreamARN\n"},
    {"arn:aws:kinesis:us-east-1:123456789012:stream/s",
     "arn:aws-x:kinesis:us-east-1:123456789012:stream/s",
     "task.json:14: $.TargetEndpoint.KinesisSettings.StreamArn: "
     "\"arn:aws-x:kinesis:us-east-1:123456789012:stream/s\" has a partition other than aws, aws-cn "
     "or aws-us-gov; `aws kinesis describe-stream-summary` prints it as StreamARN\n"},
    {"arn:aws:kinesis:us-east-1:123456789012:stream/s",
     "arn:aws:kinesis:us-east-1:123456789012:stream/a b",
     "task.json:14: $.TargetEndpoint.KinesisSettings.StreamArn: "
     "\"arn:aws:kinesis:us-east-1:123456789012:stream/a b\" has a stream name that is not 1 to 128 "
     "letters, digits, '_', '.' or '-'; `aws kinesis describe-stream-summary` prints it as "
     "StreamARN\n"},
    {"arn:aws:kinesis:us-east-1:123456789012:stream/s",
     "arn:aws:kinesis:US east:123456789012:stream/s",
     "task.json:14: $.TargetEndpoint.KinesisSettings.StreamArn: "
     "\"arn:aws:kinesis:US east:123456789012:stream/s\" has a region that is not like us-east-1; "
     "`aws kinesis describe-stream-summary` prints it as StreamARN\n"},

    /* settings of DMS that are not implemented */
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"BeforeImageSettings\": {\"EnableBeforeImage\": true}}",
     "task.json:22: $.ReplicationTaskSettings.BeforeImageSettings.EnableBeforeImage: found true, "
     "which is not implemented yet: weir sends the row as it is after the change; set it to "
     "false\n"},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": {\"TargetSchema\": \"x\"}}",
     "task.json:22: $.ReplicationTaskSettings.TargetMetadata.TargetSchema: is not implemented yet: "
     "weir keeps the schema names of the source; leave it out\n"},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"CharacterSetSettings\": {\"CharacterReplacements\": [1]}}",
     "task.json:22: $.ReplicationTaskSettings.CharacterSetSettings.CharacterReplacements: is not "
     "implemented yet: weir sends every character as it is; leave it out\n"},
    /* settings in more than one place */
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"ExtraConnectionAttributes\": \"pwd=hunter2\"",
     "task.json:5: $.SourceEndpoint.ExtraConnectionAttributes.pwd: is unknown; attributes are the "
     "members of SourceEndpoint.MicrosoftSQLServerSettings\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"ExtraConnectionAttributes\": \"hunter2;;x=\"",
     "task.json:5: $.SourceEndpoint.ExtraConnectionAttributes: attribute 1 of it is no Name=value\n"
     "task.json:5: $.SourceEndpoint.ExtraConnectionAttributes.x: is unknown; attributes are the "
     "members of SourceEndpoint.MicrosoftSQLServerSettings\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"ExtraConnectionAttributes\": {}",
     "task.json:5: $.SourceEndpoint.ExtraConnectionAttributes: found no text; allowed is "
     "\"Name=value;Name=value\"\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"ExtraConnectionAttributes\": \"executeTimeout=x\"",
     "task.json:5: $.SourceEndpoint.ExtraConnectionAttributes.ExecuteTimeout: found the text "
     "\"x\"; "
     "allowed is whole number 1..86400\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"ExtraConnectionAttributes\": \"ExecuteTimeout=5\", "
     "\"MicrosoftSQLServerSettings\": {\"ExecuteTimeout\": 6}",
     "task.json:5: $.SourceEndpoint.ExtraConnectionAttributes.ExecuteTimeout: differs from "
     "SourceEndpoint.MicrosoftSQLServerSettings.ExecuteTimeout; leave one of the two out\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"MicrosoftSQLServerSettings\": {\"ServerName\": \"b\"}",
     "task.json:5: $.SourceEndpoint.MicrosoftSQLServerSettings.ServerName: differs from "
     "SourceEndpoint.ServerName; leave one of the two out\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"MicrosoftSQLServerSettings\": {\"Password\": \"hunter2\"}",
     "task.json:5: $.SourceEndpoint.MicrosoftSQLServerSettings.Password: differs from "
     "SourceEndpoint.Password; leave one of the two out\n"},
    {"\"EngineName\": \"sqlserver\"",
     "\"EngineName\": \"sqlserver\", \"MicrosoftSQLServerSettings\": {\"Port\": 70000}",
     "task.json:5: $.SourceEndpoint.MicrosoftSQLServerSettings.Port: found the number 70000; "
     "allowed "
     "is whole number 1..65535\n"},

    /* where the task begins and ends */
    {"\"full-load-and-cdc\"", "\"cdc\", \"CdcStartPosition\": \"yesterday\"",
     "task.json:3: $.CdcStartPosition: found the text \"yesterday\", which is none of now, "
     "earliest, "
     "a UTC time (2026-03-05T08:00:00), an LSN (00000014:00000061:0001, or 0x and 20 hexadecimal "
     "digits), a stream-position of a message, a checkpoint of DMS\n"},
    {"\"full-load-and-cdc\"", "\"full-load-and-cdc\", \"CdcStartPosition\": \"now\"",
     "task.json:3: $.CdcStartPosition: counts for MigrationType cdc only: a full load begins to "
     "read changes where the load itself began; leave it out\n"},
    {"\"full-load-and-cdc\"",
     "\"cdc\", \"CdcStartPosition\": \"now\",\n\"CdcStartTime\": 1772697600",
     "task.json:3: $.CdcStartPosition: is given together with CdcStartTime; leave one of the two "
     "out\n"},
    {"\"full-load-and-cdc\"", "\"cdc\", \"CdcStartTime\": \"2026-02-30T08:00:00\"",
     "task.json:3: $.CdcStartTime: found the text \"2026-02-30T08:00:00\", which is no time that a "
     "calendar has, in the years 1970 to 9999\n"},
    {"\"full-load-and-cdc\"", "\"cdc\", \"CdcStartTime\": true",
     "task.json:3: $.CdcStartTime: found true; allowed is UTC time like 2026-03-05T08:00:00, or "
     "seconds since 1970\n"},
    {"\"full-load-and-cdc\"", "\"cdc\", \"CdcStopPosition\": \"2026-03-05T08:00:00\"",
     "task.json:3: $.CdcStopPosition: found the text \"2026-03-05T08:00:00\", which is a time; say "
     "which one: commit_time:... or server_time:...\n"},
    /* who logs in where */
    {"\"Password\": ",
     "\"MicrosoftSQLServerSettings\": {\"SecretsManagerSecretId\": \"s\"}, "
     "\"Password\": ",
     "task.json:9: $.SourceEndpoint.MicrosoftSQLServerSettings.SecretsManagerSecretId: holds user "
     "name and password; leave out SourceEndpoint.Username and Password\n"},
    {"\"Password\": ",
     "\"MicrosoftSQLServerSettings\": {\"AuthenticationMethod\": \"kerberos\"}, "
     "\"Password\": ",
     "task.json:9: $.SourceEndpoint.MicrosoftSQLServerSettings.AuthenticationMethod: is kerberos, "
     "which needs no Username, Password or secret; leave them out\n"},
    {"\"Password\": ",
     "\"MicrosoftSQLServerSettings\": {\"SecretsManagerAccessRoleArn\": \"arn:x\"}, \"Password\": ",
     "task.json:9: $.SourceEndpoint.MicrosoftSQLServerSettings.SecretsManagerAccessRoleArn: is "
     "given, but no secret to read with it\n"},

    /* documents inside strings */
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": \"{\\\"Logging\\\": {\\\"EnableLogging\\\": 1}}\"",
     "task.json:22: $.ReplicationTaskSettings.Logging.EnableLogging: found the number 1; allowed "
     "is "
     "true or false\n"},
    {"\"ReplicationTaskSettings\": {}", "\"ReplicationTaskSettings\": \"{\\n\\\"a\\\":}\"",
     "task.json:22: $.ReplicationTaskSettings: the JSON inside this string, line 2, column 5: not "
     "valid JSON: unexpected token\n"},
    {"\"ReplicationTaskSettings\": {}", "\"ReplicationTaskSettings\": \"[]\"",
     "task.json:22: $.ReplicationTaskSettings: the JSON inside this string is not an object\n"},
};

START_TEST(test_refusal)
{
    const struct refusal *r = &refusals[_i];
    char *complaints[MANY];
    char text[8192] = "";
    struct err e = ERR_INIT;
    struct task *t;
    size_t n;
    size_t used = 0;

    write_edited(r->from, r->to);
    ck_assert_int_eq(task_check("task.json", &t, complaints, MANY, &n, &e), -1);
    ck_assert_ptr_null(t);
    for (size_t i = 0; i < n; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", complaints[i]);
        free(complaints[i]);
    }
    ck_assert_str_eq(text, r->complaints);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_ptr_null(strstr(text, "hunter2"));
}
END_TEST

#define PARALLEL(table, parallel)                                                                  \
    SELECTION("1", "a", "dbo", "%", "include", "")                                                 \
    ",\n{\"rule-type\": \"table-settings\", \"rule-id\": \"2\", \"rule-name\": \"b\", "            \
    "\"object-locator\": {\"schema-name\": \"dbo\", \"table-name\": \"" table                      \
    "\"}, \"parallel-load\": " parallel "}"

static const struct {
    const char *rules; /* from line 18 on */
    const char *complaints;
} bad_rules[] = {
    {"",
     "task.json:17: $.TableMappings.rules: no rule selects a table; at least one selection rule "
     "with rule-action include or explicit is needed\n"},
    {SELECTION("1", "a", "dbo", "%", "exclude", ""),
     "task.json:17: $.TableMappings.rules: no rule selects a table; at least one selection rule "
     "with rule-action include or explicit is needed\n"},
    {"7", "task.json:18: $.TableMappings.rules[0]: found the number 7; a rule is an object\n"},
    {"{\"rule-type\": \"selektion\", \"rule-id\": \"1\", \"rule-name\": \"a\"}",
     "task.json:18: $.TableMappings.rules[0].rule-type: found the text \"selektion\"; allowed is "
     "selection, transformation, table-settings or object-mapping\n"},
    {SELECTION("1", "a", "dbo", "%", "include", "") ",\n" SELECTION("\"1\"", "b", "dbo", "x",
                                                                    "include", ""),
     "task.json:19: $.TableMappings.rules[1].rule-id: \"1\" is also that of rules[0]; it must be "
     "unique\n"},
    {SELECTION("1", "a", "dbo", "%", "include", "") ",\n" SELECTION("2", "a", "dbo", "x", "include",
                                                                    ""),
     "task.json:19: $.TableMappings.rules[1].rule-name: \"a\" is also that of rules[0]; it must be "
     "unique\n"},
    {SELECTION("\"one\"", "a", "dbo", "%", "include", ""),
     "task.json:18: $.TableMappings.rules[0].rule-id: found the text \"one\"; allowed is a whole "
     "number from 1\n"},
    {SELECTION("0", "a", "dbo", "%", "include", ""),
     "task.json:18: $.TableMappings.rules[0].rule-id: found the number 0; allowed is a whole "
     "number "
     "from 1\n"},
    {"{\"rule-type\": \"selection\", \"rule-action\": \"include\", \"rule-name\": \"a\",\n"
     "\"object-locator\": {\"schema-name\": \"dbo\", \"table-name\": \"a\"}}",
     "task.json:18: $.TableMappings.rules[0]: rule-id is missing\n"},
    {SELECTION("1", "a", "dbo", "%", "includes", ""),
     "task.json:18: $.TableMappings.rules[0].rule-action: found the text \"includes\"; allowed is "
     "include, exclude or explicit\n"},
    {SELECTION("1", "a", "dbo", "%", "include", ",\n\"load-order\": \"0\""),
     "task.json:19: $.TableMappings.rules[0].load-order: found the text \"0\"; allowed is a whole "
     "number 1..2147483647\n"},
    {SELECTION("1", "a", "dbo", "%", "include", ",\n\"load-order\": 2147483648"),
     "task.json:19: $.TableMappings.rules[0].load-order: found the number 2147483648; allowed is a "
     "whole number 1..2147483647\n"},
    {SELECTION("1", "a", "dbo", "t%", "explicit", ""),
     "task.json:18: $.TableMappings.rules[0].object-locator.table-name: found \"t%\"; an explicit "
     "rule names one table and takes no wildcards, use rule-action include\n"},
    {SELECTION("1", "a", "dbo", "t[ab", "include", ""),
     "task.json:18: $.TableMappings.rules[0].object-locator.table-name: found \"t[ab\", in which "
     "'[' has no ']'\n"},
    {SELECTION("1", "a", "d[]", "t", "include", ""),
     "task.json:18: $.TableMappings.rules[0].object-locator.schema-name: found \"d[]\", in which "
     "[] "
     "names no character\n"},
    {SELECTION("1", "a", "dbo", "%", "include", ",\n\"filters\": [{}]"),
     "task.json:19: $.TableMappings.rules[0].filters: filters (rule-id 1) are not implemented yet; "
     "without them weir would send all rows of the table\n"},
    {SELECTION("1", "a", "dbo", "%", "include", ",\n\"filter\": []"),
     "task.json:19: $.TableMappings.rules[0].filter: is unknown; did you mean filters?\n"},
    {"{\"rule-type\": \"selection\", \"rule-id\": 1, \"rule-name\": \"a\", \"rule-action\": "
     "\"include\",\n\"object-locator\": {\"schema-name\": \"dbo\", \"table-name\": \"a\",\n"
     "\"table-type\": \"view\"}}",
     "task.json:20: $.TableMappings.rules[0].object-locator.table-type: views (rule-id 1) are not "
     "implemented yet; weir reads tables: set it to table\n"},
    {SELECTION(
         "1", "a", "dbo", "%", "include",
         "") ",\n{\"rule-type\": \"transformation\", \"rule-id\": \"12\", \"rule-name\": \"b\"}",
     "task.json:19: $.TableMappings.rules[1]: transformation rules (rule-id 12) are not "
     "implemented "
     "yet; weir sends names and columns as they are in the source\n"},
    {SELECTION(
         "1", "a", "dbo", "%", "include",
         "") ",\n{\"rule-type\": \"table-settings\", \"rule-id\": \"2\", \"rule-name\": \"b\"}",
     "task.json:19: $.TableMappings.rules[1]: object-locator is missing or not an object\n"},
    {PARALLEL("%", "{\"type\": \"none\"}"),
     "task.json:19: $.TableMappings.rules[1].object-locator: a table-settings rule names one table "
     "and takes no wildcards\n"},
    {PARALLEL("t", "7"),
     "task.json:19: $.TableMappings.rules[1].parallel-load: found the number 7; allowed is an "
     "object with type\n"},
    {PARALLEL("t", "{\"type\": \"partition\"}"),
     "task.json:19: $.TableMappings.rules[1].parallel-load.type: type is missing or unknown; "
     "allowed "
     "is none, ranges, partitions-auto, partitions-list, subpartitions-auto or subpartitions\n"},
    {PARALLEL("t", "{\"type\": \"subpartitions-auto\"}"),
     "task.json:19: $.TableMappings.rules[1].parallel-load: SQL Server has no subpartitions; use "
     "partitions-auto or ranges\n"},
    {PARALLEL("t", "{\"type\": \"ranges\", \"columns\": [\"a\", \"b\"], "
                   "\"boundaries\": [[\"1\"]]}"),
     "task.json:19: $.TableMappings.rules[1].parallel-load.boundaries[0]: a boundary is a list "
     "with "
     "one value for each of the 2 columns\n"},
    {PARALLEL("t", "{\"type\": \"ranges\", \"columns\": [\"a\"], \"boundaries\": []}"),
     "task.json:19: $.TableMappings.rules[1].parallel-load.boundaries: boundaries must be a list "
     "of "
     "1 to 999\n"},
    {PARALLEL("t", "{\"type\": \"partitions-list\", \"partitions\": [\"p1\"]}"),
     "task.json:19: $.TableMappings.rules[1].parallel-load.partitions[0]: SQL Server's partitions "
     "have numbers, from 1\n"},
    {SELECTION(
         "1", "a", "dbo", "%", "include",
         "") ",\n{\"rule-type\": \"object-mapping\", \"rule-id\": \"2\", \"rule-name\": \"b\"}",
     "task.json:19: $.TableMappings.rules[1]: object-mapping rules (rule-id 2) are not implemented "
     "yet; weir makes partition keys from the primary key\n"},
};

static size_t
collect(char *text, size_t size)
{
    char *complaints[MANY];
    struct err e = ERR_INIT;
    struct task *t;
    size_t n;
    size_t used = 0;

    text[0] = '\0';
    (void)task_check("task.json", &t, complaints, MANY, &n, &e);
    for (size_t i = 0; i < n; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s\n", complaints[i]);
        free(complaints[i]);
    }
    task_free(&t);
    return n;
}

START_TEST(test_bad_rule)
{
    char text[4096];

    write_edited(BASE_RULE, bad_rules[_i].rules);
    (void)collect(text, sizeof(text));
    ck_assert_str_eq(text, bad_rules[_i].complaints);
}
END_TEST

static const struct {
    const char *text;
    const char *message;
} broken[] = {
    {"", "task.json:1:0: not valid JSON: unexpected token"},
    {"{\n  \"a\": hunter2\n}", "task.json:2:13: not valid JSON: invalid token"},
    {"{\n  \"Password\": \"x\" \"hunter2\"}", "task.json:2:27: not valid JSON: '}' expected"},
    {"{\"a\": 1,\n \"a\": 2}", "task.json:2:4: a member is given twice in one object"},
    {"[]", "task.json:1: $: not an object; a task file is one JSON object"},
    {"\"hunter2\"", "task.json:1: $: not an object; a task file is one JSON object"},
    {"{} {}", "task.json:1:4: not valid JSON: end of file expected"},
    {"{\"a\": \"\\u0000\"}",
     "task.json:1:14: not valid JSON: \\u0000 is not allowed without JSON_ALLOW_NUL"},
};

START_TEST(test_broken)
{
    struct err e = ERR_INIT;
    struct task *t;

    write_file("task.json", broken[_i].text, 0640);
    ck_assert_int_eq(task_load("task.json", &t, &e), -1);
    ck_assert_ptr_null(t);
    ck_assert_str_eq(e.text, broken[_i].message);
}
END_TEST

START_TEST(test_no_file)
{
    struct err e = ERR_INIT;
    struct task *t;

    ck_assert_int_eq(task_load("nowhere.json", &t, &e), -1);
    ck_assert_int_eq(e.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(e.text, "nowhere.json: No such file"));
}
END_TEST

/* Several complaints: the first is the error, the rest is counted. */
START_TEST(test_first_and_more)
{
    struct err e = ERR_INIT;
    struct task *t;

    write_edited("\"Weir\": {}", "\"Weir\": {\"A1\": 1, \"B2\": 2, \"C3\": 3}");
    ck_assert_int_eq(task_load("task.json", &t, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "$.Weir.A1"));
    ck_assert_str_eq(e.hint, "`weirctl check task.json` lists this and 2 more");
}
END_TEST

START_TEST(test_defaults)
{
    struct task *t;

    write_file("task.json", base, 0640);
    t = load_good();
    ck_assert_str_eq(t->identifier, "invoices");
    ck_assert_int_eq(t->migration_type, MIGRATION_FULL_LOAD_AND_CDC);
    ck_assert_str_eq(t->source.engine_name, "sqlserver");
    ck_assert_uint_eq(t->source.port, 1433);
    ck_assert_int_eq(t->source.ssl_mode, SSL_NONE);
    ck_assert_str_eq(t->source.ssl_ca_file, "");
    ck_assert(!t->source.read_only_intent);
    ck_assert(t->source.trim_space_in_char);
    ck_assert_uint_eq(t->source.login_timeout_s, 10);
    ck_assert_uint_eq(t->source.query_timeout_s, 60);
    ck_assert_int_eq(t->source.password.kind, SECRET_ENV);
    ck_assert_str_eq(t->source.password.value, "WEIR_TEST_PASSWORD");
    ck_assert_str_eq(t->target.stream_name, "s");
    ck_assert_str_eq(t->target.region, "us-east-1");
    ck_assert_int_eq(t->target.message_format, FORMAT_JSON);
    ck_assert(!t->target.include_transaction_details && !t->target.include_null_and_empty);
    ck_assert_str_eq(t->target.endpoint_url, "");
    ck_assert_str_eq(t->weir.runtime_directory, "/dev/shm/weir/invoices");
    ck_assert_str_eq(t->weir.state_directory, "/var/lib/weir/invoices");
    ck_assert_uint_eq(t->weir.encoders, 1);
    ck_assert_uint_eq(t->weir.shippers, 1);
    ck_assert_uint_eq(t->weir.change_ring_size, 64U << 20);
    ck_assert_uint_eq(t->weir.record_ring_size, 16U << 20);
    ck_assert_str_eq(t->weir.log_level, "info");
    ck_assert_uint_eq(t->max_full_load_sub_tasks, 8);
    ck_assert_uint_eq(t->commit_rate, 10000);
    ck_assert_uint_eq(t->n_selections, 1);
    ck_assert_str_eq(t->selections[0].where, "task.json:18: $.TableMappings.rules[0]");
    ck_assert_str_eq(t->selections[0].rule_id, "1");
    ck_assert_str_eq(t->selections[0].rule_name, "a");
    ck_assert_uint_eq(t->selections[0].load_order, 0);
    ck_assert_uint_eq(t->n_warnings, 0);
    task_free(&t);
    ck_assert_ptr_null(t);
}
END_TEST

START_TEST(test_values)
{
    struct task *t;

    write_edited(
        "\"Weir\": {}",
        "\"Weir\": {\"RuntimeDirectory\": \"/run/x\", \"StateDirectory\": \"state\", \"Encoders\": "
        "2,"
        "\"Shippers\": 64, \"ChangeRingSize\": \"1 GiB\", \"RecordRingSize\": 1048576,"
        "\"LogLevel\": \"debug\", \"PollIntervalMs\": 7, \"EndpointUrl\": \"http://127.0.0.1:1\","
        "\"SourceCaFile\": \"ca.pem\"}");
    t = load_good();
    ck_assert_str_eq(t->weir.runtime_directory, "/run/x");
    ck_assert_str_eq(t->weir.state_directory, "state");
    ck_assert_uint_eq(t->weir.encoders, 2);
    ck_assert_uint_eq(t->weir.shippers, 64);
    ck_assert_uint_eq(t->weir.change_ring_size, 1U << 30);
    ck_assert_uint_eq(t->weir.record_ring_size, 1U << 20);
    ck_assert_str_eq(t->weir.log_level, "debug");
    ck_assert_uint_eq(t->weir.poll_interval_ms, 7);
    ck_assert_str_eq(t->target.endpoint_url, "http://127.0.0.1:1");
    ck_assert_str_eq(t->source.ssl_ca_file, "ca.pem");
    task_free(&t);
}
END_TEST

/* An endpoint as the AWS API has it: everything in MicrosoftSQLServerSettings, or in one string. */
START_TEST(test_places)
{
    struct task *t;

    write_edited("    \"ServerName\": \"127.0.0.1\",\n    \"DatabaseName\": \"democustomer\",\n"
                 "    \"Username\": \"weir\",\n"
                 "    \"Password\": {\"Env\": \"WEIR_TEST_PASSWORD\"}\n",
                 "    \"MicrosoftSQLServerSettings\": {\"ServerName\": \"sql01\", \"Port\": 1444,"
                 " \"DatabaseName\": \"d\", \"Username\": \"u\", \"Password\": {\"Env\": \"P\"}}");
    t = load_good();
    ck_assert_str_eq(t->source.server_name, "sql01");
    ck_assert_uint_eq(t->source.port, 1444);
    ck_assert_str_eq(t->source.database_name, "d");
    ck_assert_str_eq(t->source.username, "u");
    ck_assert_str_eq(t->source.password.value, "P");
    task_free(&t);
    /* The same in two places, a number with and without quotes. */
    write_edited(
        "\"EngineName\": \"sqlserver\"",
        "\"EngineName\": \"sqlserver\", \"Port\": 1444, \"ExtraConnectionAttributes\": "
        "\" executeTimeout = 5; TRIMSPACEINCHAR=False;port=1444;applicationIntent=ReadOnly; "
        ";\", \"MicrosoftSQLServerSettings\": {\"Port\": 1444, \"ServerName\": "
        "\"127.0.0.1\", \"Username\": null, \"ExecuteTimeout\": 5}");
    t = load_good();
    ck_assert_uint_eq(t->source.port, 1444);
    ck_assert_uint_eq(t->source.query_timeout_s, 5);
    ck_assert(!t->source.trim_space_in_char);
    ck_assert(t->source.read_only_intent);
    ck_assert_str_eq(t->source.username, "weir");
    task_free(&t);
    write_edited("\"EngineName\": \"kinesis\"",
                 "\"EngineName\": \"kinesis\", \"ExtraConnectionAttributes\": "
                 "\"messageFormat=json-unformatted;includeTransactionDetails=true\"");
    t = load_good();
    ck_assert_int_eq(t->target.message_format, FORMAT_JSON_UNFORMATTED);
    ck_assert(t->target.include_transaction_details);
    task_free(&t);
}
END_TEST

/* What AWS prints of a task can be pasted: times as text or as a number. */
START_TEST(test_bounds)
{
    struct task *t;

    write_edited("\"full-load-and-cdc\"",
                 "\"cdc\", \"CdcStartTime\": 1772697600.5, "
                 "\"CdcStopPosition\": \"server_time:2026-03-06T08:00:00\"");
    t = load_good();
    ck_assert_int_eq(t->start.kind, START_TIME);
    ck_assert_int_eq(t->start.real_ns, 1772697600500000000);
    ck_assert_int_eq(t->stop.kind, STOP_SERVER_TIME);
    ck_assert_int_eq(t->stop.real_ns, 1772784000000000000);
    ck_assert_str_eq(t->cdc_stop_position, "server_time:2026-03-06T08:00:00");
    task_free(&t);
    write_edited("\"full-load-and-cdc\"", "\"cdc\", \"CdcStartTime\": 1772697600");
    t = load_good();
    ck_assert_int_eq(t->start.real_ns, 1772697600000000000);
    task_free(&t);
    write_edited("\"full-load-and-cdc\"", "\"cdc\", \"CdcStartPosition\": \"earliest\"");
    t = load_good();
    ck_assert_int_eq(t->start.kind, START_EARLIEST);
    ck_assert_int_eq(t->stop.kind, STOP_NONE);
    task_free(&t);
    /* A full load ends by itself. */
    write_edited("\"full-load-and-cdc\"",
                 "\"full-load\", \"CdcStopPosition\": \"commit_time:2026-03-06T08:00:00\"");
    t = load_good();
    ck_assert_int_eq(t->stop.kind, STOP_NONE);
    ck_assert_uint_eq(t->n_warnings, 1);
    task_free(&t);
}
END_TEST

/* A relative name starts at the task file's folder, not where the program was started. */
START_TEST(test_relative_paths)
{
    char path[128];
    char expected[160];
    struct err e = ERR_INIT;
    struct task *t;

    write_edited("{\"Env\": \"WEIR_TEST_PASSWORD\"}", "{\"File\": \"password\"}");
    write_file("password", "x\n", 0640);
    (void)snprintf(path, sizeof(path), "%s/task.json", directory);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(task_load(path, &t, &e), 0);
    ck_assert_int_eq(chdir(directory), 0);
    (void)snprintf(expected, sizeof(expected), "%s/password", directory);
    ck_assert_str_eq(t->source.password.value, expected);
    task_free(&t);
}
END_TEST

static const struct {
    const char *from;
    const char *to;
    const char *warnings;
} warned[] = {
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": {\n\"InlineLobMaxSize\": 64}}",
     "task.json:23: $.ReplicationTaskSettings.TargetMetadata.InlineLobMaxSize: has no meaning here "
     "and is ignored: weir reads every value with its row, so all are inline\n"},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": {\"SupportLobs\": true, "
     "\"FullLobMode\": true, \"LobChunkSize\": 64, \"LobMaxSize\": 0}}",
     ""},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": {\"SupportLobs\": true, "
     "\"FullLobMode\": false, \"LimitedSizeLobMode\": true, \"LobMaxSize\": 32}}",
     ""},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"TargetMetadata\": null, \"PostProcessingRules\": null,"
     "\"Logging\": {\"LogComponents\": [], \"CloudWatchLogGroup\": null}}",
     ""},
    {"\"ReplicationTaskSettings\": {}",
     "\"ReplicationTaskSettings\": {\"ErrorBehavior\": {\"DataErrorPolicy\": \"LOG_ERROR\"}}",
     "task.json:22: $.ReplicationTaskSettings.ErrorBehavior.DataErrorPolicy: has no meaning here "
     "and is ignored: weir never drops a row; it suspends the table and says why\n"},
    {"{\"Env\": \"WEIR_TEST_PASSWORD\"}", "\"hunter2\"",
     "task.json:9: $.SourceEndpoint.Password: holds the password in plain text; {\"File\": path} "
     "or "
     "{\"Env\": variable} keeps it out of the task file\n"},
    {"\"127.0.0.1\"", "\"db.example.net\"",
     "task.json:4: $.SourceEndpoint.SslMode: is none: rows and login cross the network "
     "unencrypted; "
     "verify-full protects both\n"},
    {"\"127.0.0.1\"", "\"db.example.net\", \"SslMode\": \"verify-full\"", ""},
    {"\"Weir\": {}", "\"Weir\": {\"StateDirectory\": \"/dev/shm/state\"}",
     "task.json:23: $.Weir.StateDirectory: lies in memory: after a restart of the host the task "
     "begins from scratch\n"},
};

START_TEST(test_warning)
{
    char text[4096] = "";
    size_t used = 0;
    struct task *t;

    write_edited(warned[_i].from, warned[_i].to);
    t = load_good();
    for (size_t i = 0; i < t->n_warnings; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\n", t->warnings[i]);
    ck_assert_str_eq(text, warned[_i].warnings);
    task_free(&t);
}
END_TEST

START_TEST(test_modes_are_warned_about)
{
    struct task *t;

    write_edited("{\"Env\": \"WEIR_TEST_PASSWORD\"}", "{\"File\": \"password\"}");
    ck_assert_int_eq(chmod("task.json", 0666), 0);
    write_file("password", "x", 0644);
    t = load_good();
    ck_assert_uint_eq(t->n_warnings, 2);
    ck_assert_str_eq(
        t->warnings[0],
        "task.json:1: $: the file can be written by everybody (mode 0666); chmod 0640");
    ck_assert_str_eq(t->warnings[1], "task.json:9: $.SourceEndpoint.Password: password has mode "
                                     "0644, which is wider than 0640; chmod 0640");
    task_free(&t);
    ck_assert_int_eq(chmod("task.json", 0640), 0);
    ck_assert_int_eq(chmod("password", 0600), 0);
    t = load_good();
    ck_assert_uint_eq(t->n_warnings, 0);
    task_free(&t);
}
END_TEST

/* Each value of this document is the number of the line its key, or the element, stands on. */
static const char numbered[] = "{ \"a\": 1,\n"
                               "\n"
                               "  \"b\": { \"c\": 3, \"d\": [4, 4,\n"
                               "      5, {\"e\": 5,\n"
                               "      \"f\"\n"
                               "       :\n"
                               "       6}, [], [\n"
                               "      9]] },\n"
                               "  \"}{][\\\",:\\\\\": 10,\n"
                               "  \"esc\\u0041\\n\": 11, \"\": 11,\n"
                               "  \"empty\": {}, \"t\": true, \"n\": null, \"x\": \"a{\\\"\",\n"
                               "\r\n"
                               "\t\"last\": -13.5e0 }";

static unsigned
check_lines(const struct task_doc *doc, const json_t *v, const struct place *at)
{
    unsigned n = 0;

    if (json_is_object(v)) {
        const char *key;
        json_t *inner;

        json_object_foreach((json_t *)(uintptr_t)v, key, inner)
        {
            const struct place here = {.up = at, .key = key};

            n += check_lines(doc, inner, &here);
        }
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            const struct place here = {.up = at, .index = i};

            n += check_lines(doc, json_array_get(v, i), &here);
        }
    } else if (json_is_integer(v)) {
        char text[PLACE_TEXT_MAX];

        ck_assert_msg((json_int_t)doc_line(doc, at) == json_integer_value(v), "%s: line %u, not %d",
                      place_text(at, text, sizeof(text)), doc_line(doc, at),
                      (int)json_integer_value(v));
        n = 1;
    }
    return n;
}

START_TEST(test_every_line)
{
    const struct place root = {.up = NULL};
    const struct place last = {.up = &root, .key = "last"};
    const struct place nowhere = {.up = &last, .key = "nowhere"};
    struct task_doc doc;
    struct err e = ERR_INIT;

    ck_assert_msg(doc_parse(&doc, "x", numbered, strlen(numbered), 4, &e) == 0, "%s", e.text);
    /* b.d[3].f: the key stands on 5, its value on 7; b.d[5][0] is an element on 8. */
    ck_assert_uint_eq(
        check_lines(&doc, json_object_get(doc.root, "a"), &(struct place){.up = &root, .key = "a"}),
        1);
    ck_assert_uint_eq(doc_line(&doc, &last), 13);
    ck_assert_uint_eq(doc_line(&doc, &nowhere), 13);
    ck_assert_uint_eq(doc_line(&doc, &root), 1);
    doc_close(&doc);
}
END_TEST

/* The same for all values at once, in a document made so that it holds for each. */
START_TEST(test_lines_of_a_large_document)
{
    char *text = malloc(1 << 20);
    size_t used = 0;
    unsigned line = 1;
    const struct place root = {.up = NULL};
    struct task_doc doc;
    struct err e = ERR_INIT;

    used += (size_t)snprintf(text + used, 100, "{");
    for (int i = 0; i < 2000; i++) {
        used += (size_t)snprintf(text + used, 400, "%s\"k%d\":", i > 0 ? "," : "", i);
        used += (size_t)snprintf(text + used, 400, "{\"a\\tb\":%u,\"c\":[%u,%u", line, line, line);
        line += 2;
        used += (size_t)snprintf(text + used, 400, ",\n\n%u,{\"}\\\"\":%u", line, line);
        line++;
        used += (size_t)snprintf(text + used, 400, ",\n\"z\":%u}]}", line);
    }
    used += (size_t)snprintf(text + used, 100, "}");
    ck_assert_msg(doc_parse(&doc, "x", text, used, 4, &e) == 0, "%s", e.text);
    ck_assert_uint_eq(check_lines(&doc, doc.root, &root), 2000 * 6);
    doc_close(&doc);
    free(text);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("task");
    TCase *files = tcase_create("files");
    TCase *pure = tcase_create("pure");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(files, setup, teardown);
    tcase_add_loop_test(files, test_refusal, 0, N(refusals));
    tcase_add_loop_test(files, test_bad_rule, 0, N(bad_rules));
    tcase_add_loop_test(files, test_broken, 0, N(broken));
    tcase_add_loop_test(files, test_warning, 0, N(warned));
    tcase_add_test(files, test_no_file);
    tcase_add_test(files, test_first_and_more);
    tcase_add_test(files, test_defaults);
    tcase_add_test(files, test_values);
    tcase_add_test(files, test_bounds);
    tcase_add_test(files, test_places);
    tcase_add_test(files, test_relative_paths);
    tcase_add_test(files, test_modes_are_warned_about);
    tcase_add_test(pure, test_every_line);
    tcase_add_test(pure, test_lines_of_a_large_document);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, pure);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
