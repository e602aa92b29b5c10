/*
 * proto - numbers of the TDS 7.4 wire ([MS-TDS] 2.2), named once.
 */
#ifndef MSSQLD_TDS_PROTO_H
#define MSSQLD_TDS_PROTO_H

/* Packet header: type, status, length BE, SPID BE, packet id, window. */
#define TDS_HEADER_SIZE    8U
#define TDS_PACKET_MIN     512U
#define TDS_PACKET_MAX     32767U
/* Over TLS a packet must fit one record, so SQL Server caps what it grants. */
#define TDS_PACKET_MAX_TLS 16383U
#define TDS_PACKET_DEFAULT 4096U

enum tds_message {
    TDS_BATCH = 0x01,
    TDS_RPC = 0x03,
    TDS_ANSWER = 0x04,
    TDS_ATTENTION = 0x06,
    TDS_BULK = 0x07,
    TDS_TRANSACTION = 0x0E,
    TDS_LOGIN7 = 0x10,
    TDS_SSPI = 0x11,
    TDS_PRELOGIN = 0x12,
};

#define TDS_STATUS_EOM        0x01U
#define TDS_STATUS_IGNORE     0x02U
#define TDS_STATUS_RESET      0x08U
#define TDS_STATUS_RESET_TRAN 0x10U /* reset, but keep the transaction */

#define TDS_VERSION_7_4 0x74000004U
#define TDS_VERSION_7_3 0x730B0003U /* the oldest with date types and NBCROW */

/* 16.0.4096: SQL Server 2022; PRELOGIN and LOGINACK say the same. */
#define TDS_PRODUCT_MAJOR 16U
#define TDS_PRODUCT_MINOR 0U
#define TDS_PRODUCT_BUILD 4096U
#define TDS_PRODUCT_NAME  "Microsoft SQL Server"

enum tds_token {
    TOKEN_RETURN_STATUS = 0x79,
    TOKEN_COLMETADATA = 0x81,
    TOKEN_ERROR = 0xAA,
    TOKEN_INFO = 0xAB,
    TOKEN_RETURN_VALUE = 0xAC,
    TOKEN_LOGINACK = 0xAD,
    TOKEN_FEATUREEXTACK = 0xAE,
    TOKEN_ROW = 0xD1,
    TOKEN_NBCROW = 0xD2,
    TOKEN_ENVCHANGE = 0xE3,
    TOKEN_SSPI = 0xED,
    TOKEN_DONE = 0xFD,
    TOKEN_DONEPROC = 0xFE,
    TOKEN_DONEINPROC = 0xFF,
};

enum tds_env {
    ENV_DATABASE = 1,
    ENV_LANGUAGE = 2,
    ENV_PACKET_SIZE = 4,
    ENV_COLLATION = 7,
    ENV_BEGIN = 8,
    ENV_COMMIT = 9,
    ENV_ROLLBACK = 10,
    ENV_RESET = 18,
    ENV_ROUTING = 20,
};

/* Current command of a DONE token, where the front itself reports one. */
#define TDS_COMMAND_OTHER 0xFDU

/* Type tokens. */
enum tds_type {
    TYPE_NULL = 0x1F,
    TYPE_IMAGE = 0x22,
    TYPE_TEXT = 0x23,
    TYPE_GUID = 0x24,
    TYPE_INTN = 0x26,
    TYPE_DATE = 0x28,
    TYPE_TIME = 0x29,
    TYPE_DATETIME2 = 0x2A,
    TYPE_DATETIMEOFFSET = 0x2B,
    TYPE_INT1 = 0x30,
    TYPE_BIT = 0x32,
    TYPE_INT2 = 0x34,
    TYPE_INT4 = 0x38,
    TYPE_DATETIME4 = 0x3A,
    TYPE_FLT4 = 0x3B,
    TYPE_MONEY = 0x3C,
    TYPE_DATETIME = 0x3D,
    TYPE_FLT8 = 0x3E,
    TYPE_VARIANT = 0x62,
    TYPE_NTEXT = 0x63,
    TYPE_BITN = 0x68,
    TYPE_DECIMALN = 0x6A,
    TYPE_NUMERICN = 0x6C,
    TYPE_FLTN = 0x6D,
    TYPE_MONEYN = 0x6E,
    TYPE_DATETIMN = 0x6F,
    TYPE_MONEY4 = 0x7A,
    TYPE_INT8 = 0x7F,
    TYPE_BIGVARBIN = 0xA5,
    TYPE_BIGVARCHAR = 0xA7,
    TYPE_BIGBINARY = 0xAD,
    TYPE_BIGCHAR = 0xAF,
    TYPE_NVARCHAR = 0xE7,
    TYPE_NCHAR = 0xEF,
    TYPE_UDT = 0xF0,
    TYPE_XML = 0xF1,
    TYPE_TVP = 0xF3,
};

#define TDS_USER_TYPE_ROWVERSION 80U

#define COLUMN_NULLABLE  0x0001U
#define COLUMN_UPDATABLE 0x0008U /* "unknown", what SQL Server sends for plain results */
#define COLUMN_IDENTITY  0x0010U
#define COLUMN_COMPUTED  0x0020U

#define TDS_LENGTH_MAX  0xFFFFU /* (max) in a type, NULL in a u16-counted value */
#define TDS_VARIANT_MAX 8009U
#define TDS_PLP_NULL    UINT64_MAX
#define TDS_PLP_UNKNOWN (UINT64_MAX - 1)

/* 1900-01-01 in days since 0001-01-01, the base of DATETIME and SMALLDATETIME. */
#define TDS_DAYS_1900 693595

#endif
